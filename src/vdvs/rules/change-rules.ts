import type { Lease, Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import { rulesKeys } from './keys.ts';
import { type RulesRead, readRules } from './read-rules.ts';
import type { Rules } from './types.ts';

/** ms: of the lock, which a crashed service leaves behind; of waiting for another change; and between two looks. */
const times = { leaseMs: 10_000, waitMs: 12_000, pollMs: 50 } as const;

async function takeLock(store: Store, clock: Clock, lease: Lease): Promise<number> {
  for (const until = clock.monotonic() + times.waitMs; ; ) {
    const { done, revision } = await store.txn(
      [{ key: rulesKeys.lock, is: 'absent' }],
      [{ put: rulesKeys.lock, value: { v: 1 }, lease: lease.id }],
    );
    if (done) return revision;
    if (clock.monotonic() >= until) {
      throw new VolumeError('conflict', 'somebody else is changing the rules; try again');
    }
    await clock.sleep(times.pollMs);
  }
}

/**
 * Changes the rules. Meanwhile, for some ms, no volume is created and none attached anywhere: whatever `apply` finds out about
 * volumes still holds when the new rules do. `undefined` takes all rules away.
 * @throws what `apply` throws; VolumeError `conflict` when others are at it or this took too long.
 */
export async function changeRules(
  { store, clock }: { store: Store; clock: Clock },
  apply: (read: RulesRead) => Promise<Rules | undefined> | Rules | undefined,
): Promise<void> {
  const lease = await store.grantLease(times.leaseMs);
  try {
    const modRevision = await takeLock(store, clock, lease);
    const read = await readRules(store);
    const [unchanged] = read.unchanged;
    const next = await apply(read);
    const { done } = await store.txn(
      [{ key: rulesKeys.lock, modRevision }, ...(unchanged ? [unchanged] : [])],
      [next ? { put: rulesKeys.document, value: next } : { delete: rulesKeys.document }],
    );
    if (!done) throw new VolumeError('conflict', 'changing the rules took too long; try again');
  } finally {
    await lease.revoke().catch(() => lease.release());
  }
}
