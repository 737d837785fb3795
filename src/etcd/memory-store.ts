import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { keepLease } from './keep-lease.ts';
import { MemoryCluster } from './memory-cluster.ts';
import type { Change, Lease, RenewalOptions, Store, WatchHandler } from './store.ts';

/** A store in memory with what tests need to make bad times. */
export interface MemoryStore extends Store {
  /** Another process's client of the same data, with contact of its own. */
  client(): MemoryStore;
  /** From now on no call of this client gets through, and its watches are lost. Leases run out as they would. */
  goOffline(): void;
  goOnline(): void;
  /** Forgets the history up to and including `revision` (default: all): watches from there on are refused. */
  compact(revision?: number): void;
  /** Ends a lease as an administrator would. */
  dropLease(id: string): void;
}

class MemoryClient implements MemoryStore {
  readonly #cluster: MemoryCluster;
  readonly #watches = new Set<(reason: Error) => void>();
  readonly #leases = new Set<Lease>();
  #contact: 'online' | 'offline' | 'closed' = 'online';

  constructor(cluster: MemoryCluster) {
    this.#cluster = cluster;
  }

  async get(key: string): ReturnType<Store['get']> {
    return this.#reach(`get ${key}`).get(key);
  }

  async list(prefix: string): ReturnType<Store['list']> {
    const cluster = this.#reach(`list ${prefix}`);
    return { entries: cluster.list(prefix), revision: cluster.revision };
  }

  async txn(...[when, then]: Parameters<Store['txn']>): ReturnType<Store['txn']> {
    return this.#reach('write').txn(when, then);
  }

  watch(prefix: string, fromRevision: number, handler: WatchHandler, signal: AbortSignal): void {
    const watch = { live: true, stop: (): void => undefined };
    const lost = (reason: Error): void => {
      if (!watch.live) return;
      watch.live = false;
      watch.stop();
      this.#watches.delete(lost);
      if (this.#contact !== 'closed' && !signal.aborted) queueMicrotask(() => handler.lost(reason));
    };
    const changes = (some: readonly Change[]): void =>
      queueMicrotask(() => {
        if (watch.live) handler.changes(some);
      });
    signal.addEventListener('abort', () => lost(new Error('stopped')), { once: true });
    if (signal.aborted) return;
    this.#watches.add(lost);
    try {
      watch.stop = this.#reach(`watch ${prefix}`).watch({ prefix, changes }, fromRevision);
    } catch (thrown) {
      lost(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
  }

  async grantLease(ttlMs: number, renewal: RenewalOptions = {}): Promise<Lease> {
    const granted = this.#reach('grant a lease').grant(ttlMs);
    return this.#keep(granted.id, granted.ttlMs, renewal);
  }

  async adoptLease(id: string, renewal: RenewalOptions = {}): Promise<Lease | undefined> {
    const ttlMs = this.#reach(`renew lease ${id}`).renew(id);
    return ttlMs > 0 ? this.#keep(id, ttlMs, renewal) : undefined;
  }

  async leaseLeft(id: string): ReturnType<Store['leaseLeft']> {
    return this.#reach(`look at lease ${id}`).leaseLeft(id);
  }

  async close(): Promise<void> {
    this.#contact = 'closed';
    for (const lease of this.#leases) lease.release();
    for (const lost of [...this.#watches]) lost(new Error('closed'));
  }

  client(): MemoryStore {
    return new MemoryClient(this.#cluster);
  }

  goOffline(): void {
    if (this.#contact === 'closed') return;
    this.#contact = 'offline';
    for (const lost of [...this.#watches]) lost(new Error('out of reach'));
  }

  goOnline(): void {
    if (this.#contact === 'offline') this.#contact = 'online';
  }

  compact(revision = this.#cluster.revision): void {
    this.#cluster.compact(revision);
  }

  dropLease(id: string): void {
    this.#cluster.revoke(id);
  }

  #reach(what: string): MemoryCluster {
    if (this.#contact === 'online') return this.#cluster;
    const why = this.#contact === 'closed' ? 'the store is closed' : 'etcd did not answer';
    throw new VolumeError('unavailable', `${what}: ${why}`);
  }

  #keep(id: string, ttlMs: number, { everyMs }: RenewalOptions): Lease {
    const { clock } = this.#cluster;
    const lease = keepLease({
      id,
      granted: { sentAt: clock.monotonic(), ttlMs },
      everyMs,
      clock,
      log: silentLog,
      renew: async () => ({ sentAt: clock.monotonic(), ttlMs: this.#reach(`renew lease ${id}`).renew(id) }),
      revoke: async () => {
        this.#leases.delete(lease);
        this.#reach(`revoke lease ${id}`).revoke(id);
      },
    });
    this.#leases.add(lease);
    return lease;
  }
}

/** The twin of etcd for unit tests, empty; `clock` decides when leases run out. */
export function createMemoryStore({ clock }: { clock: Clock }): MemoryStore {
  return new MemoryClient(new MemoryCluster(clock));
}
