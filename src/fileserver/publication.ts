import { isDeepStrictEqual } from 'node:util';
import type { Lease, Operation, Store } from '../etcd/store.ts';
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

/** A server that does not serve yet, and where it accepts its clients already. */
interface Starting {
  readonly acceptsAt: string;
}

/**
 * What the store says of the server: that it serves (the volume's key `server`), or where its clients are accepted before that
 * (the `address` of its claim), or neither. Level-triggered: `set` and `announce` say what it should be, one worker makes it so
 * and goes on trying while the store is out of reach; only the newest wish counts.
 */
export class Publication {
  readonly #options: PublicationOptions;
  readonly #stopped = new AbortController();
  #wanted: ServerRecord | Starting | undefined;
  /** `unknown` after a write of which nobody can say whether it was done. */
  #stored: ServerRecord | Starting | undefined | 'unknown';
  /** Whether the claim may name an address. */
  #announced = false;
  /** Whether the store knows that the volume was served. */
  #served: boolean;
  #working = false;
  #settled: Promise<void> = Promise.resolve();

  constructor(options: PublicationOptions) {
    this.#options = options;
    this.#served = options.claim.servedBefore;
  }

  /** The record that should be there; `undefined` for none. Returns at once. */
  set(record: ServerRecord | undefined): void {
    this.#want(record);
  }

  /** There is no record yet, but clients are accepted at this address. Returns at once. */
  announce(address: string): void {
    this.#want({ acceptsAt: address });
  }

  /** Resolves when the store holds what was last set, or when stopped. */
  settled(): Promise<void> {
    return this.#settled;
  }

  stop(): void {
    this.#stopped.abort();
  }

  #want(wanted: ServerRecord | Starting | undefined): void {
    this.#wanted = wanted;
    if (this.#working) return;
    this.#working = true;
    this.#settled = this.#work();
  }

  async #work(): Promise<void> {
    const { clock, log } = this.#options;
    while (!this.#stopped.signal.aborted && !isDeepStrictEqual(this.#wanted, this.#stored)) {
      const wanted = this.#wanted;
      try {
        await this.#write(wanted);
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

  async #write(wanted: ServerRecord | Starting | undefined): Promise<void> {
    const { store, claim, onRefused } = this.#options;
    const starting = isStarting(wanted);
    this.#announced ||= starting;
    const result = await store.txn([claim.condition], this.#operations(wanted));
    if (result.done) {
      this.#stored = wanted;
      this.#announced = starting;
      this.#served ||= wanted !== undefined && !starting;
      return;
    }
    this.#stopped.abort();
    onRefused();
  }

  #operations(wanted: ServerRecord | Starting | undefined): Operation[] {
    const { volume, lease, claim } = this.#options;
    const [key, epochKey] = [vfileKeys.server(volume), vfileKeys.epoch(volume)];
    const claimSays = (address?: string): Operation => ({
      put: vfileKeys.claim(volume),
      value: { ...claim.record, ...(address === undefined ? {} : { address }) },
      lease: lease.id,
    });
    if (isStarting(wanted)) return [claimSays(wanted.acceptsAt)];
    // The record first: who sees one change after the other must not see a moment with nobody to go to.
    return [
      wanted ? { put: key, value: { ...wanted }, lease: lease.id } : { delete: key },
      ...(this.#announced ? [claimSays()] : []),
      ...(wanted && !this.#served
        ? [{ put: epochKey, value: { v: 1, epoch: claim.epoch, served: true } }]
        : []),
    ];
  }
}

function isStarting(wanted: ServerRecord | Starting | undefined): wanted is Starting {
  return wanted !== undefined && 'acceptsAt' in wanted;
}
