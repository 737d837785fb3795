import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import type { Run } from '../../lib/exec.ts';
import { mountHolding, parseMountinfo } from '../../lib/mountinfo.ts';
import { forgetPages } from '../forget-pages.ts';
import { whileHeld } from './held-device.ts';

/**
 * A device and its file, without which nothing may be done to it: as soon as a device has been let go of, by whomever, its
 * number is the next disk's.
 */
export interface LoopDevice {
  readonly device: string;
  /** As the kernel names it. */
  readonly file: string;
}

/** Image files as block devices of this host. */
export interface LoopDevices {
  /**
   * Opens an image file for writing.
   * @throws VolumeError `busy` when an earlier use of the file has not ended, `invalid` when writes through the folder
   *   could stay in this host's cache.
   */
  open(file: string): Promise<LoopDevice>;
  /** The file that a device has now: of a disk that is mounted, its own. `undefined` when there is none. */
  fileOf(device: string): string | undefined;
  /**
   * Lets a device that is in use follow its file, which was made larger.
   * @throws VolumeError `unavailable` when this host does not see the larger file in time.
   */
  grow(device: string, sizeBytes: number): Promise<void>;
  /**
   * Lets go of a device; of one that has another file by now it has been let go of.
   * @returns false when something still holds it after `waitMs`, by default 5 s.
   */
  close(loop: LoopDevice, waitMs?: number): Promise<boolean>;
  /** Devices whose file lies below the folder. */
  list(folder: string): Promise<LoopDevice[]>;
}

/** ms that a program may take, and that the kernel may need to let go of a device. */
const times = { runMs: 20_000, releaseMs: 5_000, growMs: 10_000, pollMs: 50 } as const;

/** What the kernel says behind the name of a file that was deleted meanwhile. */
const deleted = / \(deleted\)$/;

function fileOf(device: string): string | undefined {
  const path = join('/sys/block', device.replace('/dev/', ''), 'loop/backing_file');
  // Detached devices have no such file.
  if (!existsSync(path)) return undefined;
  try {
    return readFileSync(path, 'utf8').trim().replace(deleted, '');
  } catch {
    return undefined;
  }
}

// What the kernel tells of itself is read at once: it waits for no disk, and a turn of the thread pool costs more.

/** Bytes of the device as the kernel has it. */
function deviceSize(device: string): number {
  return Number(readFileSync(join('/sys/block', device.replace('/dev/', ''), 'size'), 'utf8')) * 512;
}

/** Whether the kernel lets go of the device by itself when nothing has it open any more. */
function goesByItself(device: string): boolean {
  try {
    const path = join('/sys/block', device.replace('/dev/', ''), 'loop/autoclear');
    return readFileSync(path, 'utf8').trim() === '1';
  } catch {
    // It has gone.
    return true;
  }
}

function isDirect(device: string): boolean {
  return readFileSync(join('/sys/block', device.replace('/dev/', ''), 'loop/dio'), 'utf8').trim() === '1';
}

/**
 * Loop devices through losetup. Writes must be in the datastore when the device has completed them, for another host
 * reads them from there: so either direct I/O, or a folder mounted `sync`, and nothing in between.
 */
export function createLoopDevices({ run, clock }: { run: Run; clock: Clock }): LoopDevices {
  const all = () =>
    readdirSync('/sys/block')
      .filter((name) => /^loop\d+$/.test(name))
      .flatMap((name) => {
        const file = fileOf(`/dev/${name}`);
        return file === undefined ? [] : [{ device: `/dev/${name}`, file }];
      });

  const isStill = ({ device, file }: LoopDevice) => fileOf(device) === file;

  const released = async (loop: LoopDevice, waitMs: number) => {
    const until = clock.monotonic() + waitMs;
    while (isStill(loop)) {
      if (clock.monotonic() >= until) return false;
      await clock.sleep(times.pollMs);
    }
    return true;
  };

  const close = async (loop: LoopDevice, waitMs: number = times.releaseMs) => {
    const { device } = loop;
    if (!isStill(loop)) return true;
    if (!goesByItself(device)) {
      await whileHeld(device, async ({ hold }) => {
        if (!hold || !isStill(loop)) return;
        await run('losetup', ['-d', device], { timeoutMs: times.runMs, okCodes: [0, 1], hold });
      });
    }
    return await released(loop, waitMs);
  };

  const isSync = (file: string) => {
    const mount = mountHolding(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), file);
    return mount?.options.includes('sync') ?? false;
  };

  return {
    fileOf,
    close,
    async grow(device, sizeBytes) {
      for (const until = clock.monotonic() + times.growMs; deviceSize(device) < sizeBytes; ) {
        if (clock.monotonic() >= until) {
          throw new VolumeError('unavailable', `${device} does not see the larger disk on this host yet`);
        }
        await run('losetup', ['--set-capacity', device], { timeoutMs: times.runMs });
        // A shared file system may tell the file's size late.
        if (deviceSize(device) < sizeBytes) await clock.sleep(times.pollMs * 10);
      }
    },
    async open(path) {
      const file = await realpath(path).catch((thrown) => {
        throw new VolumeError(
          'unavailable',
          `disk ${path} is not there: is the datastore mounted on this host?`,
          {
            cause: thrown,
          },
        );
      });
      for (const earlier of all().filter((one) => one.file === file)) {
        if (await close(earlier)) continue;
        throw new VolumeError('busy', `disk ${file} is still in use here as ${earlier.device}`);
      }
      const sync = isSync(file);
      if (sync) await forgetPages(run, file, times.runMs);
      // Asked for direct I/O where there is none, losetup fails on some versions and goes on without it on others.
      const { exitCode, stdout } = await run(
        'losetup',
        ['--find', '--show', '--nooverlap', ...(sync ? [] : ['--direct-io=on']), file],
        { timeoutMs: times.runMs, okCodes: sync ? [0] : [0, 1] },
      );
      const opened = { device: stdout.trim(), file };
      if (exitCode === 0 && (sync || isDirect(opened.device))) return opened;
      if (exitCode === 0) await close(opened);
      throw new VolumeError(
        'invalid',
        `disk ${file}: no loop device with direct I/O can be had, so writes could stay in this host's cache while ` +
          'another host takes the disk over: mount the datastore with the option sync, or use another file system',
      );
    },
    async list(folder) {
      const real = await realpath(folder).catch(() => folder);
      return all().filter(({ file }) => file.startsWith(`${real}/`));
    },
  };
}

/** Device number of a block device, as `stat().dev` shows it for the files on it. */
export async function deviceNumber(device: string): Promise<number> {
  return (await stat(device)).rdev;
}
