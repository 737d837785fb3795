import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';

/**
 * Gives up waiting for `work` after `timeoutMs`. The work itself goes on: a call into a dead disk cannot be taken back.
 * @throws VolumeError `timeout` saying `what` was not done in time; else what `work` throws.
 */
export async function withDeadline<T>(
  clock: Clock,
  timeoutMs: number,
  what: string,
  work: Promise<T>,
): Promise<T> {
  const patience = new AbortController();
  const late = clock.sleep(timeoutMs, patience.signal).then(
    () => {
      throw new VolumeError('timeout', `${what}: not done after ${timeoutMs} ms`);
    },
    // Only when `work` won: the race is over.
    () => undefined as never,
  );
  // Whoever loses the race must not become an unhandled rejection.
  work.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    patience.abort();
  }
}

/**
 * Gives up waiting for `work` when `signal` is aborted; the work itself goes on.
 * @throws the signal's reason; else what `work` throws.
 */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const done = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const give = () => reject(signal.reason);
    if (signal.aborted) give();
    signal.addEventListener('abort', give, { once: true, signal: done.signal });
  });
  // Whoever loses the race must not become an unhandled rejection.
  work.catch(() => undefined);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    done.abort();
  }
}

/** How something is done again. Times in ms. */
export interface Persistence {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly pauseMs: number;
  /** Told of each failure after which it is done again. */
  readonly onFailure: (message: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Does `work` again, with a pause in between, as long as it fails with what may pass by itself.
 * @throws what it threw last, when that will not pass or `timeoutMs` are over. Rejects in a pause when `signal` is aborted.
 */
export async function persistently<T>(how: Persistence, work: () => Promise<T>): Promise<T> {
  const { clock, signal } = how;
  const deadline = clock.monotonic() + how.timeoutMs;
  for (;;) {
    try {
      return await work();
    } catch (thrown) {
      const { retry, message } = toVolumeError(thrown);
      if (!retry || clock.monotonic() >= deadline) throw thrown;
      how.onFailure(message);
      await clock.sleep(how.pauseMs, signal);
    }
  }
}
