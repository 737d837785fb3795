import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { VolumeError } from '../../lib/errors.ts';
import type { Run } from '../../lib/exec.ts';

/** Stops file systems from writing. */
export interface Fence {
  /**
   * Shuts the file system on `device`, mounted at `mountpoint`, down without flushing.
   * @returns false when it is not mounted there: then nothing is touched.
   * @throws Error when it could not be shut down.
   */
  shutdown(mount: { mountpoint: string; device: string }): Promise<boolean>;
  /**
   * Writes out what the device's cache holds: metadata that the journal has already, which the kernel would otherwise
   * write some time later. Only while the lease certainly exists.
   */
  flush(device: string): Promise<void>;
}

/** ms that a tool may take before it is killed. */
const toolMs = 3_000;

/** `xfs_io`, which can do it for ext4 as well (same ioctl), and `blockdev`. */
export function createFence({ run }: { run: Run }): Fence {
  return {
    async shutdown({ mountpoint, device }) {
      let directory: number;
      try {
        directory = openSync(mountpoint, 'r');
      } catch {
        // Even the root of a file system that was shut down can be opened: there is none here.
        return false;
      }
      try {
        // The open directory is what is shut down, whatever happens to the path meanwhile. Without this look a mount
        // that is just gone would mean the host's own file system.
        if (fstatSync(directory).dev !== statSync(device).rdev) return false;
        // Whoever starts the program need not have the descriptor.
        const there = `/proc/${process.pid}/fd/${directory}`;
        const { stderr } = await run('xfs_io', ['-x', '-c', 'shutdown', there], { timeoutMs: toolMs });
        // It ends with 0 even when the call failed, but says so.
        if (stderr !== '') throw new VolumeError('internal', `shutdown of ${mountpoint}: ${stderr}`);
        return true;
      } finally {
        closeSync(directory);
      }
    },
    async flush(device) {
      await run('blockdev', ['--flushbufs', device], { timeoutMs: toolMs });
    },
  };
}
