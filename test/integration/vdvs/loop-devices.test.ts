import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { type Run, run } from '../../../src/lib/exec.ts';
import { KeptPrograms } from '../../../src/lib/kept-programs.ts';
import { createFilesystems } from '../../../src/vdvs/node/filesystems.ts';
import { createLoopDevices, type LoopDevice } from '../../../src/vdvs/node/loop-devices.ts';
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

  const anotherFile = () => {
    const other = join(folder, 'other');
    writeFileSync(other, '', { flag: 'a' });
    truncateSync(other, 2 ** 20);
    return other;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vdvs-loops-'));
    file = join(folder, 'disk');
    writeFileSync(file, '');
    truncateSync(file, 2 ** 20);
    started = [];
  });
  afterEach(async () => {
    for (const loop of await loops.list(folder)) await loops.close(loop);
    rmSync(folder, { recursive: true });
  });

  it('is let go of when it is closed', async () => {
    const loop = await loops.open(file);
    expect(loops.fileOf(loop.device)).toBe(file);
    started = [];
    expect(await loops.close(loop)).toBe(true);
    expect(started).toEqual([`losetup -d ${loop.device}`]);
    expect(await loops.list(folder)).toEqual([]);
  });

  it('that goes by itself is waited for, and never taken away by its number, which may soon be another one’s', async () => {
    const loop = await loops.open(file);
    const held = openSync(loop.device, 'r');
    try {
      await run('losetup', ['-d', loop.device], { timeoutMs: 10_000 });
      // Who takes a disk over may delete the file.
      unlinkSync(file);
      started = [];
      expect(await loops.close(loop, 200)).toBe(false);
    } finally {
      closeSync(held);
    }
    expect(await loops.close(loop)).toBe(true);
    expect(started).toEqual([]);
  });

  it('whose number is another disk’s by now has been let go of', async () => {
    const { device } = await loops.open(anotherFile());
    const loop = { device, file };
    started = [];
    expect(await loops.close(loop)).toBe(true);
    expect(started).toEqual([]);
    expect(await loops.list(folder)).toEqual([{ device, file: anotherFile() }]);
  });

  const kept = new KeptPrograms(1).prepare();
  afterAll(() => kept.end());

  describe.each([
    { how: 'started here', start: run },
    { how: 'started by a kept process', start: kept.run },
  ])('whose program, $how, is slow, while somebody else detaches it too', ({ start }) => {
    let mountpoint: string;
    /** Lets the slow program go on. */
    let goOn: () => void;
    /** Runs a program whose last step, detaching, waits. */
    const slow: Run = (program, args, options) => {
      if (!args.includes('-d')) return start(program, args, options);
      const gate = join(folder, 'gate');
      execFileSync('mkfifo', [gate]);
      goOn = () => writeFileSync(gate, '\n');
      const before = program === 'umount' ? 'umount -l "$2"; ' : '';
      return start(
        'sh',
        ['-c', `${before}read -r _ < "$0"; exec losetup -d "$1"`, gate, loop.device, mountpoint],
        options,
      );
    };
    let loop: LoopDevice;

    beforeEach(() => {
      mountpoint = join(folder, 'mnt');
      mkdirSync(mountpoint);
    });

    /** Opens another disk as soon as the number may be free, then lets the slow program go on. */
    const othersDisk = async (ending: Promise<unknown>): Promise<LoopDevice> => {
      await loops.close(loop, 0);
      const theirs = await loops.open(anotherFile());
      goOn();
      await ending;
      return theirs;
    };

    it('is not detached under another disk', async () => {
      loop = await loops.open(file);
      const theirs = await othersDisk(createLoopDevices({ run: slow, clock: systemClock }).close(loop));
      expect(await loops.list(folder)).toEqual([theirs]);
    });

    it('is not detached under another disk by an unmount', async () => {
      await run('mkfs.ext4', ['-q', file], { timeoutMs: 10_000 });
      loop = await loops.open(file);
      await run('mount', [loop.device, mountpoint], { timeoutMs: 10_000 });
      const { unmountLazily } = createFilesystems({ run: slow, mountOptions: {} });
      const ending = unmountLazily({ ...loop, mountpoint });
      await vi.waitFor(() => expect(mountsIn(folder)).toEqual([]));
      const theirs = await othersDisk(ending);
      expect(await loops.list(folder)).toEqual([theirs]);
    });
  });
});
