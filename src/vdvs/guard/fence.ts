import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';

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

function finished(child: ChildProcess, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), toolMs);
    let errors = '';
    child.stderr?.on('data', (piece: Buffer) => {
      errors += piece.toString();
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      // xfs_io ends with 0 even when the call failed, but says so.
      if (code === 0 && errors === '') resolve();
      else reject(new Error(`${what}: exit code ${code}: ${errors.trim()}`));
    });
  });
}

/** `xfs_io`, which can do it for ext4 as well (same ioctl), and `blockdev`. */
export function createFence(): Fence {
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
        const child = spawn('xfs_io', ['-x', '-c', 'shutdown', '/proc/self/fd/3'], {
          stdio: ['ignore', 'ignore', 'pipe', directory],
        });
        await finished(child, `shutdown of ${mountpoint}`);
        return true;
      } finally {
        closeSync(directory);
      }
    },
    async flush(device) {
      await finished(
        spawn('blockdev', ['--flushbufs', device], { stdio: ['ignore', 'ignore', 'pipe'] }),
        `flush of ${device}`,
      );
    },
  };
}
