import type { Entry } from './store.ts';

/**
 * A local copy of a prefix, kept current by list and watch; survives compaction and loss of contact by reading again.
 * `entries` is what was last known, also while etcd is out of reach.
 */
export interface Mirror {
  /** Last known entries by key. */
  readonly entries: ReadonlyMap<string, Entry>;
  /** False until the first read, and while contact is lost. */
  readonly synced: boolean;
  /** Why it is not synced, for users. */
  readonly problem: string | undefined;
  /** Resolves at the first complete read; rejects `unavailable` at the deadline with the reason. */
  ready(timeoutMs: number): Promise<void>;
  /** Calls back with the keys that changed (all keys after a read again). Returns the way to stop it. */
  onChange(callback: (keys: ReadonlySet<string>) => void): () => void;
  /**
   * Resolves with the first value other than `undefined` that `look` returns; looks now and after each change.
   * @throws VolumeError `timeout` after `timeoutMs`; the message is what `describe` says at that moment.
   */
  waitFor<T>(
    look: () => T | undefined,
    options: { timeoutMs: number; describe: () => string; signal?: AbortSignal },
  ): Promise<T>;
  stop(): void;
}
