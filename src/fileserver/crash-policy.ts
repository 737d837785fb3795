/** Pauses in ms before the first, second, ... restart in a row; after the last the server is given up. */
const pauses = [0, 200, 1_000, 2_000];
/** A server that ran this long has recovered: earlier crashes count no more. In ms. */
const forgetAfterMs = 60_000;

/** Decides whether a server that died is started again here, or left to Swarm, which may choose another host. */
export class CrashPolicy {
  #crashes: number[] = [];

  /**
   * Counts a crash at `now` (monotonic ms).
   * @returns the pause in ms before the next start, or `undefined` to give up.
   */
  crashed(now: number): number | undefined {
    this.#crashes = [...this.#crashes.filter((at) => now - at < forgetAfterMs), now];
    return pauses[this.#crashes.length - 1];
  }

  /** Crashes within the time that counts. */
  get recent(): number {
    return this.#crashes.length;
  }
}
