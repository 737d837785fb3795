import { castGrpcError, EtcdLeaseInvalidError } from 'etcd3';
import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type AttemptOptions, type ConnectionOptions, EtcdConnections } from './etcd-connections.ts';
import type { MemberClient } from './etcd-member-client.ts';
import { sendTxn } from './etcd-txn.ts';
import { entryOf, rangeEnd, watchPrefix } from './etcd-watch.ts';
import { keepLease, type Renewal } from './keep-lease.ts';
import type { Condition, Lease, Operation, RenewalOptions, Store } from './store.ts';

/** What a store at etcd needs; see `ConnectionOptions`. */
export type OpenStoreOptions = ConnectionOptions;

/** One renewal at one member, on a stream of its own: the answer can only belong to this question. */
async function renewOnce(
  member: MemberClient,
  id: string,
  clock: Clock,
  { deadline }: AttemptOptions,
): Promise<Renewal> {
  const sentAt = clock.monotonic();
  const stream = await member.lease.leaseKeepAlive({ deadline });
  try {
    const ttl = await new Promise<number>((resolve, reject) => {
      stream.on('data', (response) => resolve(Number(response.TTL)));
      stream.on('error', (error) => reject(castGrpcError(error)));
      stream.on('end', () => reject(new VolumeError('unavailable', `${member.address} ended the renewal`)));
      stream.write({ ID: id });
    });
    return { sentAt, ttlMs: Math.max(0, ttl) * 1_000 };
  } finally {
    stream.end();
  }
}

class EtcdStore implements Store {
  readonly #connections: EtcdConnections;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #closed = new AbortController();
  readonly #leases = new Set<Lease>();

  constructor(options: OpenStoreOptions) {
    this.#connections = new EtcdConnections({ learnMembers: true, ...options });
    this.#clock = options.clock;
    this.#log = options.log;
  }

  async get(key: string): ReturnType<Store['get']> {
    const response = await this.#connections.call(
      { what: `get ${key}`, repeatable: true },
      (member, options) => member.kv.range({ key: Buffer.from(key) }, options),
    );
    const [kv] = response.kvs;
    return kv ? entryOf(kv) : undefined;
  }

  async list(prefix: string): ReturnType<Store['list']> {
    const range = { key: Buffer.from(prefix), range_end: rangeEnd(prefix) };
    const response = await this.#connections.call(
      { what: `list ${prefix}`, repeatable: true },
      (member, options) => member.kv.range({ ...range, sort_target: 'Key', sort_order: 'Ascend' }, options),
    );
    return { entries: response.kvs.map(entryOf), revision: Number(response.header.revision) };
  }

  txn(when: readonly Condition[], then: readonly Operation[]): ReturnType<Store['txn']> {
    return sendTxn(this.#connections, when, then);
  }

  watch(...[prefix, fromRevision, handler, signal]: Parameters<Store['watch']>): void {
    const either = AbortSignal.any([signal, this.#closed.signal]);
    void watchPrefix({ connections: this.#connections, prefix, fromRevision, handler, signal: either });
  }

  async grantLease(ttlMs: number, renewal: RenewalOptions = {}): Promise<Lease> {
    // May be repeated: a lease granted twice only leaves one behind that nobody renews.
    const traits = { what: 'grant a lease', repeatable: true };
    const { id, granted } = await this.#connections.call(traits, async (member, options) => {
      const sentAt = this.#clock.monotonic();
      const response = await member.lease.leaseGrant({ TTL: Math.ceil(ttlMs / 1_000) }, options);
      return { id: response.ID, granted: { sentAt, ttlMs: Number(response.TTL) * 1_000 } };
    });
    return this.#keep(id, granted, renewal);
  }

  async adoptLease(id: string, renewal: RenewalOptions = {}): Promise<Lease | undefined> {
    const granted = await this.#renew(id, {});
    return granted.ttlMs > 0 ? this.#keep(id, granted, renewal) : undefined;
  }

  async leaseLeft(id: string): ReturnType<Store['leaseLeft']> {
    const { TTL, grantedTTL } = await this.#connections.call(
      { what: `look at lease ${id}`, repeatable: true },
      (member, options) => member.lease.leaseTimeToLive({ ID: id, keys: false }, options),
    );
    const left = Number(TTL);
    return left < 0 ? undefined : { leftMs: left * 1_000, ttlMs: Number(grantedTTL) * 1_000 };
  }

  async close(): Promise<void> {
    this.#closed.abort();
    for (const lease of this.#leases) lease.release();
    this.#connections.close();
  }

  #renew(
    id: string,
    limits: { attemptMs?: number; timeoutMs?: number; signal?: AbortSignal },
  ): Promise<Renewal> {
    return this.#connections.call(
      { what: `renew lease ${id}`, repeatable: true, ...limits },
      (member, options) => renewOnce(member, id, this.#clock, options),
    );
  }

  #keep(id: string, granted: Renewal, { everyMs }: RenewalOptions): Lease {
    const limits = { attemptMs: Math.min(granted.ttlMs / 4, 1_500), timeoutMs: granted.ttlMs / 2 };
    const lease = keepLease({
      id,
      granted,
      everyMs,
      clock: this.#clock,
      log: this.#log,
      renew: (signal) => this.#renew(id, { ...limits, signal }),
      revoke: async () => {
        this.#leases.delete(lease);
        await this.#revoke(id);
      },
    });
    this.#leases.add(lease);
    lease.onLost(() => void this.#leases.delete(lease));
    return lease;
  }

  async #revoke(id: string): Promise<void> {
    await this.#connections.call(
      { what: `revoke lease ${id}`, repeatable: true },
      async (member, options) => {
        try {
          await member.lease.leaseRevoke({ ID: id }, options);
        } catch (thrown) {
          if (!(thrown instanceof EtcdLeaseInvalidError)) throw thrown;
        }
      },
    );
  }
}

/**
 * The store at etcd. Returns at once; contact is made by the first call. A transaction whose outcome is not known (the
 * member died while it was under way) is sent again only if it cannot be done twice, see `sendTxn`; otherwise it throws
 * `unavailable`: it may have been done, or be done a moment later, so read again before deciding. A put on a lease that is
 * gone throws `not_found`.
 */
export function openStore(options: OpenStoreOptions): Store {
  return new EtcdStore(options);
}
