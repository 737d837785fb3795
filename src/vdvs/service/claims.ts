import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { waitForChange } from './wait-for-change.ts';

/** ms: of the lease of who works; and how long another one waits for it before it looks again. */
const times = { leaseMs: 10_000, waitMs: 60_000 } as const;

/**
 * Does work that several services may do but that should be done once, because it is long. Saves effort only: a service
 * whose lease runs out while it works has a second one beside it, which the work itself has to bear.
 * @returns false when another service was at it: then this has waited for it, and the caller looks again.
 */
export async function underClaim(
  { store, clock }: { store: Store; clock: Clock },
  key: string,
  work: () => Promise<void>,
): Promise<boolean> {
  const lease = await store.grantLease(times.leaseMs);
  try {
    const { done, revision } = await store.txn(
      [{ key, is: 'absent' }],
      [{ put: key, value: { v: 1 }, lease: lease.id }],
    );
    if (done) await work();
    else {
      const { signal } = new AbortController();
      await waitForChange(store, key, revision + 1, times.waitMs, { clock, signal });
    }
    return done;
  } finally {
    await lease.revoke().catch(() => lease.release());
  }
}
