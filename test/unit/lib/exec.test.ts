import { describe, expect, it } from 'vitest';
import { run } from '../../../src/lib/exec.ts';

describe('run', () => {
  it('gives back what the program wrote', async () => {
    expect(await run('cat', [], { timeoutMs: 5_000, input: 'in' })).toMatchObject({
      stdout: 'in',
      exitCode: 0,
    });
  });

  it('passes arguments as they are: there is no shell', async () => {
    const { stdout } = await run('echo', ['$HOME', ';', 'id'], { timeoutMs: 5_000 });
    expect(stdout).toBe('$HOME ; id');
  });

  it('names the command, the exit code and the end of standard error', async () => {
    const failing = run('ls', ['/does/not/exist'], { timeoutMs: 5_000 });
    await expect(failing).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringMatching(/ls \/does\/not\/exist: exit code 2: .*No such file/),
    });
  });

  it('accepts other exit codes only when told', async () => {
    expect((await run('false', [], { timeoutMs: 5_000, okCodes: [0, 1] })).exitCode).toBe(1);
  });

  it('ends a program at its deadline and says so', async () => {
    await expect(run('sleep', ['60'], { timeoutMs: 50 })).rejects.toMatchObject({ code: 'timeout' });
  });

  it('ends a program that is called off, also one that does not listen', async () => {
    const over = new AbortController();
    const stubborn = run('sh', ['-c', 'trap "" TERM; sleep 15 & while :; do wait; done'], {
      timeoutMs: 60_000,
      signal: over.signal,
    });
    over.abort();
    await expect(stubborn).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringMatching(/cancelled/),
    });
  });

  it('says when the program is missing', async () => {
    await expect(run('no-such-program', [], { timeoutMs: 5_000 })).rejects.toMatchObject({
      code: 'unavailable',
    });
  });
});
