/** JSON as it is kept in the store. Every value is an object with a version field `v`, checked when read. Members that are undefined are left out. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json | undefined };

/** One key as it was read. */
export interface Entry {
  readonly key: string;
  /** Parsed JSON, not yet validated: pass it through the domain's schema. */
  readonly value: unknown;
  /** Revision of the key's last change: what a later write compares. */
  readonly modRevision: number;
  /** Revision at which the key came to be; differs after delete and create. */
  readonly createRevision: number;
  /** Lease the key hangs on, as a decimal string; `undefined` when it is kept for ever. */
  readonly lease: string | undefined;
}

/** What must hold for a transaction to happen. */
export type Condition =
  | { readonly key: string; readonly is: 'absent' | 'present' }
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly createRevision: number };

/** What a transaction does. */
export type Operation =
  | { readonly put: string; readonly value: Json; readonly lease?: string }
  | { readonly delete: string }
  | { readonly deletePrefix: string };

/** Outcome of a transaction: done at a revision, or refused because a condition did not hold. */
export type TxnResult =
  | { readonly done: true; readonly revision: number }
  | { readonly done: false; readonly revision: number };

/** One change seen by a watch. */
export type Change =
  | { readonly type: 'put'; readonly entry: Entry }
  | { readonly type: 'delete'; readonly key: string; readonly revision: number };

/** How a watch is followed; all callbacks come in revision order. */
export interface WatchHandler {
  /** One etcd response's changes, in order. */
  changes(changes: readonly Change[]): void;
  /**
   * The watch ended and will not be resumed (compacted, connection lost, cancelled by the server). Read the prefix
   * again and watch from the next revision. Called at most once, never after the signal was aborted.
   */
  lost(reason: Error): void;
}

/**
 * A lease that this process keeps alive. Renewed every fifth of its TTL unless its holder wants it more often, each renewal
 * with a deadline.
 */
export interface Lease {
  /** Decimal string. */
  readonly id: string;
  readonly ttlMs: number;
  /**
   * Monotonic ms (`Clock.monotonic`) until which the lease certainly still exists: the time at which the last
   * successful renewal was *sent*, plus the TTL. Whoever relies on exclusivity must have stopped before it.
   */
  safeUntil(): number;
  /** Called after each successful renewal. */
  onRenewed(callback: () => void): void;
  /** Called once when the server says that the lease is gone. Not called for mere loss of contact. */
  onLost(callback: () => void): void;
  /** Stops renewing but leaves the lease to run out (or to another process that adopts it). */
  release(): void;
  /** Stops renewing and revokes: keys on it vanish at once. */
  revoke(): Promise<void>;
}

/** How a lease is kept. */
export interface RenewalOptions {
  /** ms between two renewals at most. The more often, the less of the TTL can have passed already when contact is lost. */
  readonly everyMs?: number;
}

/**
 * The store of record, as this project needs it: etcd in production, a twin in memory for unit tests; one contract
 * suite holds both to the same behaviour. Every call ends within the store's request deadline (default 5 s).
 * @throws VolumeError `unavailable` when no member answers or there is no quorum, `timeout` at the deadline.
 */
export interface Store {
  get(key: string): Promise<Entry | undefined>;
  /** All keys below `prefix` in key order and the revision they were read at (one consistent read). */
  list(prefix: string): Promise<{ entries: Entry[]; revision: number }>;
  /**
   * Does all of `then` at once if all of `when` hold, else nothing. A key may be touched once only (`invalid`).
   * @throws VolumeError `not_found` when a lease of `then` is gone; `unavailable` also when the outcome is not known: it may
   *   have been done, or be done a moment later, so read again before deciding. Rare for a transaction whose conditions
   *   cannot hold any more once it is done (a compared revision of a key it writes), which is the form to prefer.
   */
  txn(when: readonly Condition[], then: readonly Operation[]): Promise<TxnResult>;
  /** Follows changes below `prefix` from `fromRevision` on (inclusive) until `signal` is aborted. */
  watch(prefix: string, fromRevision: number, handler: WatchHandler, signal: AbortSignal): void;
  /** Grants a lease and keeps it alive. TTL in whole seconds at etcd: rounded up from ms. */
  grantLease(ttlMs: number, renewal?: RenewalOptions): Promise<Lease>;
  /**
   * Goes on renewing a lease that an earlier process of the same holder was granted; `undefined` when it is gone.
   * The TTL is the server's.
   */
  adoptLease(id: string, renewal?: RenewalOptions): Promise<Lease | undefined>;
  /** What is left of anybody's lease, at etcd in whole seconds rounded down; `undefined` when it is gone. Does not renew it. */
  leaseLeft(id: string): Promise<{ readonly leftMs: number; readonly ttlMs: number } | undefined>;
  /** Ends all watches and renewals and closes the connections. */
  close(): Promise<void>;
}
