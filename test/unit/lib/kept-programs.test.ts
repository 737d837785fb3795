import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeptPrograms } from '../../../src/lib/kept-programs.ts';

const limits = { timeoutMs: 10_000 };

describe('programs that are started by kept processes', () => {
  let kept: KeptPrograms;
  beforeEach(() => {
    kept = new KeptPrograms(1).prepare();
  });
  afterEach(() => kept.end());

  /** Who started the program. */
  const parent = async (): Promise<number> => {
    const { stdout } = await kept.run('cat', ['/proc/self/stat'], limits);
    return Number(stdout.split(' ')[3]);
  };
  const processes = () =>
    execFileSync('ps', ['-o', 'pid=', '--ppid', String(process.pid)], { encoding: 'utf8' })
      .split('\n')
      .map(Number);

  it('are started by the same one, not by this process', async () => {
    const first = await parent();
    expect(first).not.toBe(process.pid);
    expect(await parent()).toBe(first);
  });

  it('are started by this process when the kept one is busy', async () => {
    const over = new AbortController();
    const busy = kept.run('sleep', ['60'], { timeoutMs: 60_000, signal: over.signal });
    expect(await parent()).toBe(process.pid);
    over.abort();
    await expect(busy).rejects.toThrow('cancelled');
  });

  it('are never commands of the shell', async () => {
    for (const command of ['exit', 'set', 'no-such-program']) {
      await expect(kept.run(command, ['1'], limits)).rejects.toMatchObject({ code: 'unavailable' });
    }
    // There is a program of that name beside the shell's own.
    await expect(kept.run('kill', ['-0', '0x'], limits)).rejects.toThrow(/exit code/);
    await expect(kept.run('test', ['1', '=', '2'], limits)).rejects.toThrow('exit code 1');
  });

  it('go on when the kept process is killed: another takes its place', async () => {
    const first = await parent();
    process.kill(first, 'SIGKILL');
    await expect.poll(processes).not.toContain(first);
    const second = await parent();
    expect(second).not.toBe(process.pid);
    expect(await parent()).toBe(second);
  });

  it('are judged when the kept process is killed under them', async () => {
    const first = await parent();
    const running = kept.run('sh', ['-c', 'kill -KILL $PPID; sleep 0.1'], limits);
    await expect(running).rejects.toThrow('ended by SIGKILL');
    expect(await parent()).not.toBe(first);
  });

  it('are told to end at the deadline, with all that they have started', async () => {
    const stubborn = kept.run('sh', ['-c', 'trap "" TERM; sleep 61 & wait; sleep 61'], { timeoutMs: 50 });
    await expect(stubborn).rejects.toMatchObject({ code: 'timeout' });
    expect(execFileSync('ps', ['-eo', 'args='], { encoding: 'utf8' })).not.toContain('sleep 61');
    expect(await parent()).not.toBe(process.pid);
  });

  it('leave no process when there is nothing more to do', async () => {
    const first = await parent();
    kept.end();
    await expect.poll(processes).not.toContain(first);
    expect(await parent()).toBe(process.pid);
  });
});
