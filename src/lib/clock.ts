import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

/** Time as a seam: production reads the system, tests turn it by hand. All values are milliseconds. */
export interface Clock {
  /** Wall clock, ms since 1970. For records and humans only, never for deciding a lease. */
  now(): number;
  /** Monotonic ms since an arbitrary start. Does not jump; the only base for deadlines and leases. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The system's clocks. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    // Not that a timer was called off, but why.
    await delay(ms, undefined, signal ? { signal } : undefined).catch(() => signal?.throwIfAborted());
  },
};
