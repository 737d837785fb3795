import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { type Run, run } from '../../../src/lib/exec.ts';
import { createLoopDevices } from '../../../src/vdvs/node/loop-devices.ts';

describe('a loop device', () => {
  let folder: string;
  let file: string;
  /** Programs that were started, with what they were told to do. */
  let started: string[];
  const counting: Run = async (program, args, options) => {
    started.push([program, ...args].join(' '));
    return await run(program, args, options);
  };
  const loops = createLoopDevices({ run: counting, clock: systemClock });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vdvs-loops-'));
    file = join(folder, 'disk');
    writeFileSync(file, '');
    truncateSync(file, 2 ** 20);
    started = [];
  });
  afterEach(async () => {
    for (const { device } of await loops.list(folder)) await loops.close(device);
    rmSync(folder, { recursive: true });
  });

  it('is let go of when it is closed', async () => {
    const device = await loops.open(file);
    started = [];
    expect(await loops.close(device)).toBe(true);
    expect(started).toEqual([`losetup -d ${device}`]);
    expect(await loops.list(folder)).toEqual([]);
  });

  it('that goes by itself is waited for, and never taken away by its number, which may soon be another one’s', async () => {
    const device = await loops.open(file);
    const held = openSync(device, 'r');
    try {
      await run('losetup', ['-d', device], { timeoutMs: 10_000 });
      started = [];
      expect(await loops.close(device, 200)).toBe(false);
    } finally {
      closeSync(held);
    }
    expect(await loops.close(device)).toBe(true);
    expect(started).toEqual([]);
  });
});
