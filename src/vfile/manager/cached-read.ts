import type { Clock } from '../../lib/clock.ts';

/**
 * A value that is expensive to read and may be a little old. Readers at the same time share one read.
 * Concurrency: a read that is under way may have begun before a change; `read(0)` therefore never joins one.
 */
export class CachedRead<T> {
  readonly #clock: Clock;
  readonly #fetch: () => Promise<T>;
  #last: { readonly at: number; readonly value: T } | undefined;
  #underWay: { readonly at: number; readonly promise: Promise<T> } | undefined;

  constructor(options: { readonly clock: Clock; readonly fetch: () => Promise<T> }) {
    this.#clock = options.clock;
    this.#fetch = options.fetch;
  }

  /** @param maxAgeMs how old the value may be. @throws what the read throws; the next caller reads again. */
  async read(maxAgeMs: number): Promise<T> {
    const now = this.#clock.monotonic();
    if (this.#last && now - this.#last.at < maxAgeMs) return this.#last.value;
    if (this.#underWay && now - this.#underWay.at < maxAgeMs) return this.#underWay.promise;
    const underWay = { at: now, promise: this.#fetch() };
    this.#underWay = underWay;
    try {
      const value = await underWay.promise;
      if (!this.#last || this.#last.at <= now) this.#last = { at: now, value };
      return value;
    } finally {
      if (this.#underWay === underWay) this.#underWay = undefined;
    }
  }
}
