import type { Condition, Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

/** ms between two looks at the disk's lease. */
const lookMs = 500;

/** How this node has the disk of its volume, as the disk's driver knows it. */
export interface DiskHold {
  /** The lease under which it has it. */
  readonly lease: string | undefined;
  /** True for as long as this node has the disk. */
  readonly condition: Condition;
  /** Whether the node that had it before gave it back: nothing there can use it any more. */
  readonly givenBack: boolean;
}

/** @returns `undefined` when the driver of the disk keeps no such records. */
export type FindDisk = () => Promise<DiskHold | undefined>;

/** What guarding needs. */
export interface DiskGuardOptions {
  readonly store: Pick<Store, 'leaseLeft'>;
  readonly findDisk: FindDisk;
  readonly clock: Clock;
  readonly log: Log;
  /** The server must be dead when this returns. */
  readonly kill: (reason: string) => void;
}

/**
 * Sees to it that a server does not outlive the guard of its disk. vDVS keeps a lease for the disk and shuts the file system
 * down before that can have run out; when its processes on this host are killed and do not come back in time, nobody does,
 * and the server would go on with a disk that another host may have, or hand the I/O errors of the late shutdown on to its
 * clients. So it is killed when a quarter of the lease is left. Loss of contact to etcd changes nothing: the server's own
 * lease is for that. Base volumes of other drivers have no such lease.
 * @returns the way to stop guarding.
 */
export function guardDisk(options: DiskGuardOptions): () => void {
  const { store, findDisk, clock, log, kill } = options;
  const stopped = new AbortController();

  /** Why the server must go; `undefined` while all is well or nothing can be known. */
  const danger = async (lease: string): Promise<string | undefined> => {
    const left = await store.leaseLeft(lease);
    if (left && left.leftMs > left.ttlMs / 4) return undefined;
    return `the lease of its disk ${left ? `runs out in ${left.leftMs} ms` : 'is gone'}: nobody guards the disk on this host`;
  };

  const run = async () => {
    for (let lease: string | undefined; !stopped.signal.aborted; ) {
      let reason: string | undefined;
      try {
        lease ??= (await findDisk())?.lease;
        if (lease === undefined) return;
        reason = await danger(lease);
      } catch (thrown) {
        log.debug('the lease of the disk cannot be looked at', { error: toVolumeError(thrown).message });
      }
      if (reason !== undefined && !stopped.signal.aborted) return kill(reason);
      await clock.sleep(lookMs, stopped.signal);
    }
  };
  // The only rejection is the sleep's, when stopped.
  run().catch(() => undefined);
  return () => stopped.abort();
}
