import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from './clock.ts';

interface Sleeper {
  readonly due: number;
  wake(): void;
}

/** Time turned by hand, for tests: nothing passes until `advance` says so. */
export class ManualClock implements Clock {
  #time = 0;
  readonly #start: number;
  readonly #sleepers = new Set<Sleeper>();

  /** @param start wall clock at the beginning, ms since 1970 */
  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#start = start;
  }

  now(): number {
    return this.#start + this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = (): void => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        due: this.#time + Math.max(0, ms),
        wake: () => {
          this.#sleepers.delete(sleeper);
          signal?.removeEventListener('abort', abort);
          resolve();
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#sleepers.add(sleeper);
    });
  }

  /** Lets everything that is ready to run do so, without time passing. */
  async settle(): Promise<void> {
    for (let round = 0; round < 5; round += 1) await turn();
  }

  /** Lets `ms` pass; sleepers wake in the order of their times, each with what follows from it done. */
  async advance(ms: number): Promise<void> {
    const end = this.#time + ms;
    await this.settle();
    for (;;) {
      const next = [...this.#sleepers].sort((a, b) => a.due - b.due)[0];
      if (!next || next.due > end) break;
      this.#time = Math.max(this.#time, next.due);
      next.wake();
      await this.settle();
    }
    this.#time = end;
    await this.settle();
  }
}
