import type { Lease } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';

/** How often the guard looks, in ms: the longest time that a server may go on after the moment it had to stop. */
const tickMs = 100;
/** The wall clock running ahead of the monotonic one by this much between two looks means the host was suspended. */
const suspensionMs = 1_500;

/** What the guard does to the server. All must act at once, without waiting for anything. */
export interface GuardedServer {
  /** The server must be dead when this returns. */
  kill(reason: string): void;
  freeze(): void;
  thaw(): void;
}

/** What guarding needs. */
export interface LeaseGuardOptions {
  readonly lease: Lease;
  readonly clock: Clock;
  /** How long before the lease can have run out the server is killed. */
  readonly marginMs: number;
  readonly server: GuardedServer;
}

/**
 * Sees to it that a server never serves beyond its lease: kills it `marginMs` before the lease can have run out by the
 * monotonic clock, and at once when the store says that the lease is gone. Loss of contact alone changes nothing before.
 *
 * A suspended host's monotonic clock may stand still, so it proves nothing afterwards: when the wall clock has leapt ahead
 * of it, the server is frozen until a renewal made after the leap has succeeded. A mere step of the wall clock costs
 * one renewal's time.
 * @returns the way to stop guarding.
 */
export function guardLease({ lease, clock, marginMs, server }: LeaseGuardOptions): () => void {
  const stopped = new AbortController();
  let frozenAt: number | undefined;
  let dead = false;
  let lead = clock.now() - clock.monotonic();

  const die = (reason: string) => {
    if (dead || stopped.signal.aborted) return;
    dead = true;
    server.kill(reason);
    stopped.abort();
  };
  const look = () => {
    const left = lease.safeUntil() - clock.monotonic();
    if (left <= marginMs) {
      die(`the lease could not be renewed and may run out in ${Math.max(0, Math.round(left))} ms`);
      return;
    }
    const newLead = clock.now() - clock.monotonic();
    if (newLead - lead > suspensionMs && frozenAt === undefined) {
      frozenAt = clock.monotonic();
      server.freeze();
    }
    lead = newLead;
  };
  lease.onLost(() => die('the lease is gone'));
  lease.onRenewed(() => {
    look();
    // The renewal must have been sent after the leap: only then does its answer say anything about now.
    if (frozenAt === undefined || dead || lease.safeUntil() - lease.ttlMs < frozenAt) return;
    frozenAt = undefined;
    server.thaw();
  });
  const run = async () => {
    while (!stopped.signal.aborted) {
      await clock.sleep(tickMs, stopped.signal);
      look();
    }
  };
  // The only rejection is the sleep's, when stopped.
  run().catch(() => undefined);
  return () => stopped.abort();
}
