import { isDeepStrictEqual } from 'node:util';
import type { Lease, Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { vfileKeys } from '../vfile/keys.ts';
import type { ServerRecord } from '../vfile/types.ts';
import type { Claim } from './claim.ts';

const retryMs = 100;

/** What publishing needs. */
export interface PublicationOptions {
  readonly volume: string;
  readonly store: Store;
  readonly lease: Lease;
  /** Must still be ours for each write. */
  readonly claim: Claim;
  readonly clock: Clock;
  readonly log: Log;
  /** The claim is not ours any more: whoever relies on it must stop. */
  readonly onRefused: () => void;
}

/**
 * The volume's `server` key. Level-triggered: `set` says what it should be, one worker makes it so and goes on trying while
 * the store is out of reach; only the newest wish counts.
 */
export class Publication {
  readonly #options: PublicationOptions;
  readonly #stopped = new AbortController();
  #wanted: ServerRecord | undefined;
  /** `unknown` after a write of which nobody can say whether it was done. */
  #stored: ServerRecord | undefined | 'unknown';
  #working = false;
  /** Whether the claim says that the server serves. */
  #toldServing = false;
  #settled: Promise<void> = Promise.resolve();

  constructor(options: PublicationOptions) {
    this.#options = options;
  }

  /** The record that should be there; `undefined` for none. Returns at once. */
  set(record: ServerRecord | undefined): void {
    this.#wanted = record;
    if (this.#working) return;
    this.#working = true;
    this.#settled = this.#work();
  }

  /** Resolves when the store holds what was last set, or when stopped. */
  settled(): Promise<void> {
    return this.#settled;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #work(): Promise<void> {
    const { clock, log } = this.#options;
    while (!this.#stopped.signal.aborted && !isDeepStrictEqual(this.#wanted, this.#stored)) {
      const record = this.#wanted;
      try {
        await this.#write(record);
      } catch (error) {
        this.#stored = 'unknown';
        log.warn('the server record could not be written, trying again', {
          reason: toVolumeError(error).message,
        });
        await clock.sleep(retryMs, this.#stopped.signal).catch(() => undefined);
      }
    }
    this.#working = false;
  }

  async #write(record: ServerRecord | undefined): Promise<void> {
    const { store, lease, claim, volume, onRefused } = this.#options;
    const key = vfileKeys.server(volume);
    // The record first: who sees one change after the other must not see a moment with nobody to go to.
    const put = { put: key, value: { ...record }, lease: lease.id };
    const result = await store.txn(
      [claim.condition],
      record ? (this.#toldServing ? [put] : [put, claim.serves]) : [{ delete: key }],
    );
    if (result.done) {
      this.#stored = record;
      if (record) this.#toldServing = true;
      return;
    }
    this.#stopped.abort();
    onRefused();
  }
}
