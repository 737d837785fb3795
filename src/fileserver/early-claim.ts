import type { Lease } from '../etcd/store.ts';
import { toVolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

/** What claiming early needs. */
export interface EarlyClaimOptions<T> {
  /** Claims the volume under a lease that it notes in `leases`. Rejects when `signal` is aborted. */
  readonly claim: (leases: Lease[], signal: AbortSignal) => Promise<T>;
  /** Lets go of what was claimed. Never fails. */
  readonly giveUp: (leases: readonly Lease[]) => Promise<void>;
  readonly log: Log;
}

interface Attempt<T> {
  readonly leases: Lease[];
  readonly calledOff: AbortController;
  readonly done: Promise<T | undefined>;
}

/**
 * A volume's claim, asked for when its disk is given to this node: to attach and mount it takes as long again, and clients wait
 * for both. Nobody else can have the disk meanwhile. Should it be taken away before it has arrived, the claim is given back.
 */
export class EarlyClaim<T extends object> {
  readonly #options: EarlyClaimOptions<T>;
  #attempt: Attempt<T> | undefined;
  #ending: Promise<void> = Promise.resolve();

  constructor(options: EarlyClaimOptions<T>) {
    this.#options = options;
  }

  /** Whether this node is given the disk, or has it. */
  granted(ours: boolean): void {
    if (!ours) this.#callOff();
    if (!ours || this.#attempt) return;
    const { claim, log } = this.#options;
    const [leases, calledOff]: [Lease[], AbortController] = [[], new AbortController()];
    const done = this.#ending
      .then(() => claim(leases, calledOff.signal))
      .catch((error) => {
        if (!calledOff.signal.aborted) log.warn('not claimed early', { why: toVolumeError(error).message });
        return undefined;
      });
    this.#attempt = { leases, calledOff, done };
  }

  /**
   * The disk is there.
   * @returns what was claimed, and the leases, which are the caller's from now on; `undefined` when nothing was.
   */
  async take(): Promise<{ readonly claimed: T; readonly leases: readonly Lease[] } | undefined> {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (!attempt) return undefined;
    const claimed = await attempt.done;
    if (claimed) return { claimed, leases: attempt.leases };
    await this.#options.giveUp(attempt.leases);
    return undefined;
  }

  /** Gives back what was not taken. Never fails. */
  async end(): Promise<void> {
    this.#callOff();
    await this.#ending;
  }

  #callOff(): void {
    const attempt = this.#attempt;
    if (!attempt) return;
    this.#attempt = undefined;
    attempt.calledOff.abort(new Error('the disk goes elsewhere'));
    // It began when all before it had ended.
    this.#ending = attempt.done.then(() => this.#options.giveUp(attempt.leases));
  }
}
