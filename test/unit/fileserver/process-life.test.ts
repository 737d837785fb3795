import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { didNothing, readLife } from '../../../src/fileserver/process-life.ts';

describe('the life of a process', () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  /** A /proc with one process of threads in these states. */
  function proc(states: string, ticks = 7): string {
    const folder = mkdtempSync(join(tmpdir(), 'proc-'));
    folders.push(folder);
    const stat = (pid: number, state: string) =>
      `${pid} (a) b (c) ${state} 1 1 1 0 -1 0 0 0 0 0 ${ticks} 3 0 0 20 0 1 0 0\n`;
    mkdirSync(join(folder, '5/task'), { recursive: true });
    writeFileSync(join(folder, '5/stat'), stat(5, 'S'));
    for (const [at, state] of [...states].entries()) {
      mkdirSync(join(folder, `5/task/${5 + at}`));
      writeFileSync(join(folder, `5/task/${5 + at}/stat`), stat(5 + at, state));
    }
    return folder;
  }

  it.each([
    ['SSS', false],
    ['STT', false],
    ['SRS', true],
    ['SSD', true],
  ])('with threads %s it is awake: %s', (states, awake) => {
    expect(readLife(5, proc(states))).toEqual({ ticks: 10, awake });
  });

  it('is nothing when there is no such process', () => {
    expect(readLife(6, proc('S'))).toBeUndefined();
    expect(didNothing(undefined, readLife(5, proc('S')))).toBe(false);
  });

  it('a process that used the processor between two looks did something, also when it sleeps now', () => {
    const [before, later] = [readLife(5, proc('S')), readLife(5, proc('S', 8))];
    expect(didNothing(before, later)).toBe(false);
    expect(didNothing(before, before)).toBe(true);
  });

  it('a real one that was stopped does nothing', async () => {
    const child = spawn(process.execPath, ['-e', 'for (;;) {}'], { stdio: 'ignore' });
    try {
      const pid = child.pid ?? 0;
      const started = readLife(pid);
      while (didNothing(started, readLife(pid))) await delay(5);
      child.kill('SIGSTOP');
      for (let before = readLife(pid); ; ) {
        await delay(50);
        const after = readLife(pid);
        if (didNothing(before, after)) break;
        before = after;
      }
    } finally {
      child.kill('SIGKILL');
    }
  });
});
