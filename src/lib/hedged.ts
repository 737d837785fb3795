import type { Clock } from './clock.ts';
import { VolumeError } from './errors.ts';

/** What is tried, and how. Times in ms. */
export interface HedgedOptions<T> {
  readonly attempt: (signal: AbortSignal) => Promise<T>;
  /** Without an answer for so long, the next attempt begins; the earlier ones go on. */
  readonly everyMs: number;
  /** So soon after one has failed the next begins. */
  readonly againMs: number;
  /** So many attempts at most at the same time. */
  readonly most: number;
  /** After this no more attempts begin, and the last failure is the answer. */
  readonly forMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * The first answer of attempts that begin one after the other without waiting for each other: one that hangs, at a member
 * that waits for a leader that is dead, does not hold up the next, and on a slow host each has its time nonetheless.
 * `attempt` must do no harm when it is done several times.
 * @throws what the last attempt threw; `timeout` when none ended; the signal's reason.
 */
export function hedged<T>(options: HedgedOptions<T>): Promise<T> {
  const { attempt, everyMs, againMs, most, forMs, clock, signal } = options;
  const answered = new AbortController();
  const either = AbortSignal.any([signal, answered.signal]);
  const state: { running: number; why: unknown } = { running: 0, why: undefined };
  return new Promise<T>((resolve, reject) => {
    /** Resolves when the attempt has ended. */
    const begin = async (): Promise<void> => {
      state.running += 1;
      try {
        resolve(await attempt(either));
      } catch (thrown) {
        state.why = thrown;
      } finally {
        state.running -= 1;
      }
    };
    const pause = async (ended: Promise<void>): Promise<void> => {
      const over = new AbortController();
      const both = AbortSignal.any([either, over.signal]);
      const late = clock.sleep(everyMs, both);
      const soon = ended.then(() => clock.sleep(againMs, both));
      // The one that loses the race is cut short.
      for (const sleep of [late, soon]) sleep.catch(() => undefined);
      try {
        await Promise.race([late, soon]);
      } finally {
        over.abort();
      }
    };
    const drive = async (): Promise<void> => {
      for (const until = clock.monotonic() + forMs; clock.monotonic() < until; ) {
        await pause(state.running < most ? begin() : new Promise(() => undefined));
      }
      throw state.why ?? new VolumeError('timeout', `no attempt ended within ${forMs} ms`);
    };
    // After an answer this only ends the driver: a promise is settled once.
    drive().catch((thrown) => reject(signal.aborted ? signal.reason : thrown));
  }).finally(() => answered.abort());
}
