/** Pauses in ms before the first, second, ... restart in a row; after the last the server is given up. */
const pauses = [0, 200, 1_000, 2_000];
/** Those in ms of one that is not given up, because it failed on other hosts too. */
const staying = { firstMs: 5_000, longestMs: 30_000 } as const;
/** Crashes count for this long. In ms. */
const forgetAfterMs = 60_000;
/** One that ran this long is started again without a pause: its clients wait, and nothing spins. In ms. */
const ranWellMs = 5_000;

/** Decides whether a server that died is started again here, or left to Swarm, which may choose another host. */
export class CrashPolicy {
  #crashes: number[] = [];

  /**
   * Counts a crash at `now` (monotonic ms) of a server that was started `ranMs` before.
   * @param stays whether it is not to be left to another host.
   * @returns the pause in ms before the next start, or `undefined` to give up.
   */
  crashed(now: number, ranMs: number, stays = false): number | undefined {
    this.#crashes = [...this.#crashes.filter((at) => now - at < forgetAfterMs), now];
    const pauseMs = pauses[this.#crashes.length - 1];
    if (pauseMs === undefined && stays) {
      return Math.min(staying.longestMs, staying.firstMs * 2 ** (this.#crashes.length - pauses.length - 1));
    }
    return pauseMs !== undefined && ranMs >= ranWellMs ? 0 : pauseMs;
  }

  /** Crashes within the time that counts. */
  get recent(): number {
    return this.#crashes.length;
  }
}
