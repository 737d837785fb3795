import type { Clock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import { hedged } from '../lib/hedged.ts';
import type { Log } from '../lib/log.ts';
import type { Lease } from './store.ts';

/** One successful renewal: when it was sent (monotonic ms) and the TTL from then on; 0 when the lease is gone. */
export interface Renewal {
  readonly sentAt: number;
  readonly ttlMs: number;
}

/** What keeping a lease needs. */
export interface KeepLeaseOptions {
  readonly id: string;
  readonly granted: Renewal;
  /** ms between two renewals at most; a fifth of the TTL when that is less. */
  readonly everyMs?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Asks the members in turn, each with a deadline; rejects when none answers. May be asked again meanwhile. */
  readonly renew: (signal: AbortSignal) => Promise<Renewal>;
  readonly revoke: () => Promise<void>;
}

/** Pause after a renewal that no member answered, in ms. */
const retryPauseMs = 100;
/** Renewals under way at the same time at most, while none is answered. */
const mostAttempts = 4;

/**
 * Renews a lease every fifth of its TTL, or more often, until it is released, revoked or gone; one that hangs is followed by another after
 * a twelfth, so that little of the TTL is lost when etcd's leader dies. Loss of contact does not end it: the
 * cluster may still know the lease when contact comes back; `safeUntil` tells the holder how long to rely on it.
 */
export function keepLease(options: KeepLeaseOptions): Lease {
  const { id, clock, log } = options;
  const { ttlMs } = options.granted;
  const everyMs = Math.min(ttlMs / 5, options.everyMs ?? Number.POSITIVE_INFINITY);
  const stop = new AbortController();
  const renewed = new Set<() => void>();
  const lost = new Set<() => void>();
  const state = { safeUntil: options.granted.sentAt + ttlMs, gone: false, contact: true };

  const accept = (renewal: Renewal): void => {
    if (renewal.ttlMs <= 0) {
      state.gone = true;
      stop.abort();
      log.warn('lease is gone', { lease: id });
      for (const callback of lost) callback();
      return;
    }
    state.safeUntil = Math.max(state.safeUntil, renewal.sentAt + renewal.ttlMs);
    if (!state.contact) log.info('lease is renewed again', { lease: id });
    state.contact = true;
    for (const callback of renewed) callback();
  };

  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await clock.sleep(state.contact ? everyMs : retryPauseMs, stop.signal);
      try {
        const renewal = await hedged({
          ...{ attempt: options.renew, everyMs: ttlMs / 12, againMs: retryPauseMs },
          ...{ most: mostAttempts, forMs: ttlMs / 2 },
          ...{ clock, signal: stop.signal },
        });
        if (!stop.signal.aborted) accept(renewal);
      } catch (thrown) {
        if (stop.signal.aborted) return;
        if (state.contact) {
          const left = Math.round(state.safeUntil - clock.monotonic());
          log.warn('lease cannot be renewed', {
            lease: id,
            leftMs: left,
            why: toVolumeError(thrown).message,
          });
        }
        state.contact = false;
      }
    }
  };
  // The only rejection is the sleep's, when stopped.
  loop().catch(() => undefined);

  return {
    id,
    ttlMs,
    safeUntil: () => state.safeUntil,
    onRenewed: (callback) => void renewed.add(callback),
    onLost: (callback) => {
      if (state.gone) callback();
      else lost.add(callback);
    },
    release: () => stop.abort(),
    revoke: async () => {
      stop.abort();
      await options.revoke();
    },
  };
}
