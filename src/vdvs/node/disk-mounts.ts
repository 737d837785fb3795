import { rmdir } from 'node:fs/promises';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { MountEntry } from '../../lib/mountinfo.ts';
import type { Filesystems } from './filesystems.ts';
import type { Guard } from './guard-port.ts';
import type { LoopDevices } from './loop-devices.ts';
import { diskAt } from './mountinfo.ts';

/** Where a disk is mounted, and which. */
export interface DiskMount {
  readonly mountpoint: string;
  readonly device: string;
  /** File of the loop device. Not known of mounts that nobody noted: as long as it is mounted, its device has it. */
  readonly file?: string | undefined;
}

/** Taking mounted disks away, in peace or by force. A placeholder below one is left alone. */
export interface DiskMounts {
  /** Whether a disk lies on top at this mount point. */
  isMounted(mountpoint: string): Promise<boolean>;
  /** @returns false when something still used it after `busyMs`. */
  unmount(mount: DiskMount, busyMs: number): Promise<boolean>;
  /**
   * Stops the file system from writing and clears away what is left of it here.
   * @returns whether the device is gone: then nothing here can write to the disk any more, and what was written is in the datastore.
   */
  retire(mount: DiskMount): Promise<boolean>;
}

/** ms between two looks at something that is in use. */
const pollMs = 200;

/** With this host's tools, under the guard. */
export function createDiskMounts(parts: {
  readonly guard: Pick<Guard, 'shutdown' | 'release'>;
  readonly loops: Pick<LoopDevices, 'close' | 'fileOf'>;
  readonly filesystems: Pick<Filesystems, 'unmount' | 'unmountLazily'>;
  readonly readMounts: () => Promise<MountEntry[]>;
  readonly clock: Clock;
  readonly log: Log;
}): DiskMounts {
  const { guard, loops, filesystems, clock, log } = parts;

  const isMounted = async (mountpoint: string) => diskAt(await parts.readMounts(), mountpoint) !== undefined;

  return {
    isMounted,
    async unmount({ mountpoint }, busyMs) {
      const until = clock.monotonic() + busyMs;
      while (await isMounted(mountpoint)) {
        if (await filesystems.unmount(mountpoint)) continue;
        if (clock.monotonic() >= until) return false;
        await clock.sleep(pollMs);
      }
      return true;
    },
    async retire({ mountpoint, device, file = loops.fileOf(device) }) {
      await guard.shutdown({ mountpoint, device });
      while (await isMounted(mountpoint)) await filesystems.unmountLazily({ mountpoint, device });
      const gone = file === undefined || (await loops.close({ device, file }));
      if (!gone) {
        log.warn('device is still held after its file system was shut down', { device });
      }
      await guard.release(mountpoint);
      // Without it nothing can be written into the folder below by mistake.
      await rmdir(mountpoint).catch(() => undefined);
      return gone;
    },
  };
}
