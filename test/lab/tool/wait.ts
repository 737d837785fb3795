import { setTimeout as sleep } from 'node:timers/promises';
import { VolumeError } from '../../../src/lib/errors.ts';

/** One look at what is waited for: done with a value, or not yet and why, or never any more. */
export type Look<T> = { done: true; value: T } | { done: false; reason: string; hopeless?: true };

/** What to wait for and how long. */
export interface WaitOptions {
  /** Completes the sentence "waiting for ...". */
  readonly what: string;
  readonly timeoutMs: number;
  readonly everyMs?: number;
  /** Told the reason whenever it changes. */
  readonly say?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Looks again and again until it is done. A look that throws counts as "not yet", its message as the reason.
 * @throws VolumeError `timeout` with the last reason after the deadline, `unavailable` as soon as a look is hopeless.
 */
export async function waitFor<T>(look: () => Promise<Look<T>> | Look<T>, options: WaitOptions): Promise<T> {
  const end = performance.now() + options.timeoutMs;
  let said = '';
  for (;;) {
    options.signal?.throwIfAborted();
    const seen = await tryLook(look);
    if (seen.done) return seen.value;
    if (seen.hopeless) throw new VolumeError('unavailable', `${options.what}: ${seen.reason}`);
    if (seen.reason !== said) options.say?.(`waiting for ${options.what}: ${seen.reason}`);
    said = seen.reason;
    if (performance.now() >= end) {
      throw new VolumeError('timeout', `${options.what}: not after ${options.timeoutMs / 1000} s: ${said}`);
    }
    await sleep(options.everyMs ?? 100);
  }
}

async function tryLook<T>(look: () => Promise<Look<T>> | Look<T>): Promise<Look<T>> {
  try {
    return await look();
  } catch (thrown) {
    return { done: false, reason: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}
