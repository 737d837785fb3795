import type { Lease, Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { persistently, withDeadline } from './deadline.ts';
import type { FileServerSettings } from './settings.ts';

/** How long the end waits for the store to revoke the lease, in ms; without it the lease runs out by itself. */
const revokeTimeoutMs = 1_500;
/** Pause between attempts to reach the store at the start, in ms. */
const reachPauseMs = 200;

/**
 * The lease under which a server claims its volume; noted in `leases`, so that it is given up whatever comes after.
 * @throws what the store throws, after `claimTimeoutMs` at the latest where it may pass. Rejects when `signal` is aborted.
 */
export async function grantLease(options: {
  readonly store: Store;
  readonly settings: Pick<FileServerSettings, 'leaseMs' | 'claimTimeoutMs'>;
  readonly leases: Lease[];
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}): Promise<Lease> {
  const { store, settings, leases, clock, log, signal } = options;
  const { claimTimeoutMs: timeoutMs, leaseMs } = settings;
  const onFailure = (reason: string) => log.warn('no lease yet, trying again', { reason });
  const lease = await persistently({ clock, timeoutMs, pauseMs: reachPauseMs, onFailure, signal }, () =>
    store.grantLease(leaseMs),
  );
  leases.push(lease);
  return lease;
}

/**
 * Lets go of the volume: at once where it is certain that nothing serves it any more, else by letting the lease run out.
 * @param dead whether no server process is left.
 */
export async function giveUp(options: {
  readonly leases: readonly Lease[];
  readonly dead: boolean;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<void> {
  const { leases, dead, clock, log } = options;
  for (const lease of leases) {
    if (!dead) {
      log.error('ganesha is still there: the lease is left to run out');
      lease.release();
      continue;
    }
    await withDeadline(clock, revokeTimeoutMs, 'revoking the lease', lease.revoke()).catch((error) =>
      log.warn(toVolumeError(error).message),
    );
  }
}
