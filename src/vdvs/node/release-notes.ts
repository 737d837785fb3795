import { toVolumeError } from '../../lib/errors.ts';
import type { Run } from '../../lib/exec.ts';
import type { Log } from '../../lib/log.ts';

/** Word of this node in the datastores that it has let go of a disk for good. */
export interface ReleaseNotes {
  /**
   * Makes the file that says so (`Grant.location.releaseNote`). Without it whoever waits for the disk waits for the lease, and
   * the disk is copied; so a failure is logged and nothing more.
   */
  write(path: string): Promise<void>;
}

/** ms: a host that has lost its network has often lost the datastore too. */
const writeMs = 5_000;

/** By a program, which can be given up: a thread of this process that waited for a dead datastore would be lost to it. */
export function createReleaseNotes({ run, log }: { run: Run; log: Log }): ReleaseNotes {
  return {
    async write(path) {
      try {
        await run('touch', [path], { timeoutMs: writeMs });
        log.info('said in the datastore that the disk is let go of', { note: path });
      } catch (thrown) {
        log.info('the datastore does not hear that the disk is let go of', {
          note: path,
          error: toVolumeError(thrown).message,
        });
      }
    },
  };
}
