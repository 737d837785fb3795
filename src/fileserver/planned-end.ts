import type { Clock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

/** A pass that takes no longer than this, in ms, left little to be written out: the unmount will be as quick. */
const shortMs = 300;
/** More passes than this only follow clients that write faster than the disk does. */
const mostPasses = 3;

/** What a planned end needs. */
export interface PlannedEndParts {
  /** Whether there is anything to be written out: a server that clients write to. */
  readonly serves: () => boolean;
  /** Writes out what the kernel holds of the volume. */
  readonly flush: () => Promise<void>;
  /** Ends the server; what it has done already it does not do again. */
  readonly end: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The end of a server that may take its time. The disk goes to the next server only when the unmount has written out all that the
 * kernel holds of it, and clients wait for that. So most of it is written out before, while they are still served.
 */
export class PlannedEnd {
  readonly #parts: PlannedEndParts;
  #flushing: Promise<void> | undefined;
  readonly #over = new AbortController();
  #done = true;

  constructor(parts: PlannedEndParts) {
    this.#parts = parts;
  }

  /** Whether nothing is being written out for it: until then something here uses the disk. */
  get done(): boolean {
    return this.#done;
  }

  /** Ends the server when all is written out, or after `limitMs`, whichever comes first; begun again, the earlier limit counts. */
  begin(limitMs: number): void {
    const { serves, end, clock } = this.#parts;
    if (!this.#flushing && serves()) {
      this.#done = false;
      this.#flushing = this.#flush(clock.monotonic() + limitMs).finally(() => {
        this.#done = true;
        this.#over.abort();
      });
    }
    if (this.#done) end();
    else clock.sleep(limitMs, this.#over.signal).then(end, end);
  }

  /** Resolves when `done`. */
  async settled(): Promise<void> {
    await this.#flushing;
  }

  async #flush(deadline: number): Promise<void> {
    const { flush, clock, log } = this.#parts;
    try {
      for (let pass = 1; pass <= mostPasses; pass += 1) {
        const began = clock.monotonic();
        await flush();
        const now = clock.monotonic();
        if (now - began <= shortMs) return;
        log.info('written out before the end', { ms: Math.round(now - began), pass });
        if (now >= deadline) return;
      }
    } catch (thrown) {
      log.warn(`not written out before the end: ${toVolumeError(thrown).message}`);
    }
  }
}
