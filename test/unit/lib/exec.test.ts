import { closeSync, openSync } from 'node:fs';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { run as runHere } from '../../../src/lib/exec.ts';
import { KeptPrograms } from '../../../src/lib/kept-programs.ts';

const kept = new KeptPrograms(1).prepare();
afterAll(() => kept.end());

describe.each([
  { name: 'run', run: runHere },
  { name: 'run by a kept process', run: kept.run },
])('$name', ({ run }) => {
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

  it('says what signal ended a program', async () => {
    await expect(run('sh', ['-c', 'kill -USR1 $$'], { timeoutMs: 5_000 })).rejects.toMatchObject({
      message: expect.stringMatching(/ended by SIGUSR1$/),
    });
  });

  it('keeps a file open for the program, from before it begins', async () => {
    const file = openSync('/proc/self/stat', 'r');
    const taken = vi.fn(() => closeSync(file));
    const { stdout } = await run('sh', ['-c', 'readlink /proc/$$/fd/*'], {
      timeoutMs: 5_000,
      // The shell has closed some of what it listed.
      okCodes: [0, 1],
      hold: { descriptor: file, taken },
    });
    expect(taken).toHaveBeenCalledOnce();
    expect(stdout).toMatch(/^\/proc\/\d+\/stat$/m);
  });

  it('tells both streams apart and from those of the program before, line ends and all', async () => {
    const both = (word: string) =>
      run('sh', ['-c', 'printf "$1\n\n"; printf "e$1" >&2', 'sh', word], { timeoutMs: 5_000 });
    expect(await both('first')).toEqual({ exitCode: 0, stdout: 'first\n', stderr: 'efirst' });
    expect(await both('')).toEqual({ exitCode: 0, stdout: '\n', stderr: 'e' });
    const { stdout } = await run('seq', ['1', '40000'], { timeoutMs: 5_000 });
    expect(stdout.split('\n')).toHaveLength(40_000);
  });

  it('passes empty arguments, white space and line ends', async () => {
    const odd = ['', ' a  b\t', '\\n', '*', '-n', 'two\nlines'];
    const { stdout } = await run('printf', ['%s|', ...odd], { timeoutMs: 5_000 });
    expect(stdout).toBe(`${odd.join('|')}|`);
  });
});
