import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import type { Change, Condition, Entry, Json, Operation, TxnResult } from './store.ts';

interface MemoryLease {
  readonly ttlMs: number;
  expiresAt: number;
}

/** What a watcher of the cluster is told. */
export interface MemoryWatcher {
  readonly prefix: string;
  readonly changes: (changes: readonly Change[]) => void;
}

/** The server side of the twin: keys, revisions, history and leases as etcd keeps them, in one object. */
export class MemoryCluster {
  readonly clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #leases = new Map<string, MemoryLease>();
  readonly #history: { revision: number; changes: Change[] }[] = [];
  readonly #watchers = new Set<MemoryWatcher>();
  #revision = 1;
  #compacted = 0;
  #nextLease = 1_000;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get revision(): number {
    return this.#revision;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  list(prefix: string): Entry[] {
    const found = [...this.#entries.values()].filter((entry) => entry.key.startsWith(prefix));
    return found.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  }

  txn(when: readonly Condition[], then: readonly Operation[]): TxnResult {
    const puts = then.flatMap((op) => ('put' in op ? [op.put] : []));
    const touched = (key: string): boolean =>
      then.some(
        (op) =>
          ('delete' in op && op.delete === key) || ('deletePrefix' in op && key.startsWith(op.deletePrefix)),
      );
    if (new Set(puts).size < puts.length || puts.some(touched)) {
      throw new VolumeError('invalid', 'duplicate key given in txn request');
    }
    if (!when.every((condition) => this.#holds(condition))) return { done: false, revision: this.#revision };
    for (const op of then) {
      if ('put' in op && op.lease !== undefined && !this.#leases.has(op.lease)) {
        throw new VolumeError('not_found', `write ${op.put}: the lease is gone`);
      }
    }
    const revision = this.#revision + 1;
    this.#commit(then.flatMap((op) => this.#changes(op, revision)));
    return { done: true, revision: this.#revision };
  }

  /** Adds a watcher; it hears at once what happened since. @returns how to stop it. @throws when compacted. */
  watch(watcher: MemoryWatcher, fromRevision: number): () => void {
    if (fromRevision <= this.#compacted) throw new Error(`revision ${fromRevision} is compacted`);
    const missed = this.#history.filter(({ revision }) => revision >= fromRevision);
    for (const { changes } of missed) this.#tell(watcher, changes);
    // A watch of the future stays silent until then.
    const later: MemoryWatcher = {
      prefix: watcher.prefix,
      changes: (changes) => {
        if (this.#revision >= fromRevision) watcher.changes(changes);
      },
    };
    this.#watchers.add(later);
    return () => void this.#watchers.delete(later);
  }

  /** Forgets the history up to and including a revision, as etcd's compaction does. */
  compact(revision: number): void {
    this.#compacted = Math.max(this.#compacted, revision);
    const keep = this.#history.filter((item) => item.revision > revision);
    this.#history.splice(0, this.#history.length, ...keep);
  }

  grant(ttlMs: number): { id: string; ttlMs: number } {
    const whole = Math.ceil(ttlMs / 1_000) * 1_000;
    this.#nextLease += 1;
    const id = String(this.#nextLease);
    const lease = { ttlMs: whole, expiresAt: this.clock.monotonic() + whole };
    this.#leases.set(id, lease);
    this.#expire(id, lease).catch(() => undefined);
    return { id, ttlMs: whole };
  }

  /** @returns the TTL in ms, 0 when the lease is gone. */
  renew(id: string): number {
    const lease = this.#leases.get(id);
    if (!lease) return 0;
    lease.expiresAt = this.clock.monotonic() + lease.ttlMs;
    return lease.ttlMs;
  }

  /** In whole seconds, as etcd tells it. */
  leaseLeft(id: string): { leftMs: number; ttlMs: number } | undefined {
    const lease = this.#leases.get(id);
    if (!lease) return undefined;
    const left = Math.max(0, lease.expiresAt - this.clock.monotonic());
    return { leftMs: Math.floor(left / 1_000) * 1_000, ttlMs: lease.ttlMs };
  }

  /** Ends a lease; its keys vanish in one revision. */
  revoke(id: string): void {
    if (!this.#leases.delete(id)) return;
    const keys = [...this.#entries.values()].filter((entry) => entry.lease === id).map((entry) => entry.key);
    const revision = this.#revision + 1;
    this.#commit(keys.map((key) => ({ type: 'delete', key, revision })));
  }

  async #expire(id: string, lease: MemoryLease): Promise<void> {
    while (this.#leases.has(id)) {
      const left = lease.expiresAt - this.clock.monotonic();
      if (left <= 0) this.revoke(id);
      else await this.clock.sleep(left);
    }
  }

  #holds(condition: Condition): boolean {
    const entry = this.#entries.get(condition.key);
    if ('is' in condition) return (entry === undefined) === (condition.is === 'absent');
    return 'modRevision' in condition
      ? (entry?.modRevision ?? 0) === condition.modRevision
      : (entry?.createRevision ?? 0) === condition.createRevision;
  }

  #changes(op: Operation, revision: number): Change[] {
    if ('put' in op) {
      const { createRevision } = this.#entries.get(op.put) ?? { createRevision: revision };
      // Copied as etcd does: later changes of the caller's object must not show.
      const value = JSON.parse(JSON.stringify(op.value)) as Json;
      const entry = { key: op.put, value, modRevision: revision, createRevision, lease: op.lease };
      return [{ type: 'put', entry }];
    }
    const keys = 'delete' in op ? [op.delete] : this.list(op.deletePrefix).map((entry) => entry.key);
    return keys.filter((key) => this.#entries.has(key)).map((key) => ({ type: 'delete', key, revision }));
  }

  #commit(changes: Change[]): void {
    if (changes.length === 0) return;
    this.#revision += 1;
    for (const change of changes) {
      if (change.type === 'put') this.#entries.set(change.entry.key, change.entry);
      else this.#entries.delete(change.key);
    }
    this.#history.push({ revision: this.#revision, changes });
    for (const watcher of [...this.#watchers]) this.#tell(watcher, changes);
  }

  #tell(watcher: MemoryWatcher, changes: readonly Change[]): void {
    const below = changes.filter((change) =>
      (change.type === 'put' ? change.entry.key : change.key).startsWith(watcher.prefix),
    );
    if (below.length > 0) watcher.changes(below);
  }
}
