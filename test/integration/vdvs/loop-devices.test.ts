import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { type Run, run } from '../../../src/lib/exec.ts';
import { createFilesystems } from '../../../src/vdvs/node/filesystems.ts';
import { createLoopDevices } from '../../../src/vdvs/node/loop-devices.ts';
import { mountsIn } from './clear-host.ts';

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

  describe('whose program is slow, while somebody else detaches it too', () => {
    let mountpoint: string;
    /** Lets the slow program go on. */
    let goOn: () => void;
    /** Runs a program whose last step, detaching, waits. */
    const slow: Run = (program, args, options) => {
      if (!args.includes('-d')) return run(program, args, options);
      const gate = join(folder, 'gate');
      execFileSync('mkfifo', [gate]);
      goOn = () => writeFileSync(gate, '\n');
      const before = program === 'umount' ? 'umount -l "$2"; ' : '';
      return run(
        'sh',
        ['-c', `${before}read -r _ < "$0"; exec losetup -d "$1"`, gate, device, mountpoint],
        options,
      );
    };
    let device: string;

    beforeEach(() => {
      mountpoint = join(folder, 'mnt');
      mkdirSync(mountpoint);
    });

    /** Opens another disk as soon as the number may be free, then lets the slow program go on. */
    const othersDisk = async (ending: Promise<unknown>): Promise<string> => {
      await loops.close(device, 0);
      const other = join(folder, 'other');
      writeFileSync(other, '');
      truncateSync(other, 2 ** 20);
      const theirs = await loops.open(other);
      goOn();
      await ending;
      return theirs;
    };

    it('is not detached under another disk', async () => {
      device = await loops.open(file);
      const theirs = await othersDisk(createLoopDevices({ run: slow, clock: systemClock }).close(device));
      expect(await loops.list(folder)).toEqual([{ device: theirs, file: join(folder, 'other') }]);
    });

    it('is not detached under another disk by an unmount', async () => {
      await run('mkfs.ext4', ['-q', file], { timeoutMs: 10_000 });
      device = await loops.open(file);
      await run('mount', [device, mountpoint], { timeoutMs: 10_000 });
      const { unmountLazily } = createFilesystems({ run: slow, mountOptions: {} });
      const ending = unmountLazily({ device, mountpoint });
      await vi.waitFor(() => expect(mountsIn(folder)).toEqual([]));
      const theirs = await othersDisk(ending);
      expect(await loops.list(folder)).toEqual([{ device: theirs, file: join(folder, 'other') }]);
    });
  });
});
