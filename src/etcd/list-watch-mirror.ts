import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Mirror } from './mirror.ts';
import type { Change, Entry, Store } from './store.ts';

const shortestPauseMs = 100;
const longestPauseMs = 2_000;

/** What a mirror needs. */
export interface MirrorOptions {
  readonly store: Store;
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Log;
}

class ListWatchMirror implements Mirror {
  readonly #options: MirrorOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #callbacks = new Set<(keys: ReadonlySet<string>) => void>();
  readonly #stop = new AbortController();
  #problem: string | undefined = 'etcd has not answered yet';
  #everSynced = false;

  constructor(options: MirrorOptions) {
    this.#options = options;
    // The only rejection is that of a sleep cut short by stop().
    this.#follow().catch(() => undefined);
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  get synced(): boolean {
    return this.#problem === undefined;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  async ready(timeoutMs: number): Promise<void> {
    const what = `${this.#options.prefix} was not read within ${timeoutMs} ms`;
    try {
      await this.waitFor(() => this.#everSynced || undefined, {
        timeoutMs,
        describe: () => this.#problem ?? '',
      });
    } catch (thrown) {
      throw new VolumeError('unavailable', `${what}: ${toVolumeError(thrown).message}`, { cause: thrown });
    }
  }

  onChange(callback: (keys: ReadonlySet<string>) => void): () => void {
    this.#callbacks.add(callback);
    return () => void this.#callbacks.delete(callback);
  }

  async waitFor<T>(
    look: () => T | undefined,
    options: { timeoutMs: number; describe: () => string; signal?: AbortSignal },
  ): Promise<T> {
    const { timeoutMs, describe, signal } = options;
    const over = new AbortController();
    const ends = AbortSignal.any([over.signal, this.#stop.signal, ...(signal ? [signal] : [])]);
    try {
      return await new Promise<T>((resolve, reject) => {
        const check = (): void => {
          try {
            const found = look();
            if (found !== undefined) resolve(found);
          } catch (thrown) {
            reject(thrown);
          }
        };
        const unfollow = this.onChange(check);
        over.signal.addEventListener('abort', unfollow);
        check();
        this.#options.clock.sleep(timeoutMs, ends).then(
          () => reject(new VolumeError('timeout', describe())),
          () => reject(signal?.aborted ? signal.reason : new VolumeError('unavailable', 'stopped')),
        );
      });
    } finally {
      over.abort();
    }
  }

  stop(): void {
    this.#stop.abort();
    this.#callbacks.clear();
  }

  async #follow(): Promise<void> {
    const { clock, log, prefix } = this.#options;
    for (
      let pause = shortestPauseMs;
      !this.#stop.signal.aborted;
      pause = Math.min(pause * 2, longestPauseMs)
    ) {
      try {
        const revision = await this.#read();
        pause = shortestPauseMs;
        const reason = await this.#watch(revision + 1);
        if (this.#stop.signal.aborted) return;
        log.info('watch ended, reading again', { prefix, why: reason.message });
        this.#problem = `contact with etcd was lost: ${reason.message}`;
      } catch (thrown) {
        if (this.#stop.signal.aborted) return;
        const { message } = toVolumeError(thrown);
        if (this.#problem !== message) log.warn('cannot read from etcd', { prefix, why: message });
        this.#problem = message;
      }
      await clock.sleep(pause, this.#stop.signal);
    }
  }

  /** Replaces the copy by what the store has now; says which keys changed since. */
  async #read(): Promise<number> {
    const { entries, revision } = await this.#options.store.list(this.#options.prefix);
    if (this.#stop.signal.aborted) throw new VolumeError('unavailable', 'stopped');
    const keys = new Set(this.#entries.keys());
    this.#entries.clear();
    for (const entry of entries) {
      this.#entries.set(entry.key, entry);
      keys.add(entry.key);
    }
    this.#problem = undefined;
    this.#everSynced = true;
    this.#tell(keys);
    return revision;
  }

  async #watch(fromRevision: number): Promise<Error> {
    const { store, prefix } = this.#options;
    const over = new AbortController();
    try {
      return await new Promise<Error>((resolve) => {
        const stopped = (): void => resolve(new Error('stopped'));
        this.#stop.signal.addEventListener('abort', stopped, { signal: over.signal });
        const handler = { changes: (some: readonly Change[]) => this.#apply(some), lost: resolve };
        store.watch(prefix, fromRevision, handler, AbortSignal.any([over.signal, this.#stop.signal]));
      });
    } finally {
      over.abort();
    }
  }

  #apply(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.type === 'put') this.#entries.set(change.entry.key, change.entry);
      else this.#entries.delete(change.key);
    }
    this.#tell(new Set(changes.map((change) => (change.type === 'put' ? change.entry.key : change.key))));
  }

  #tell(keys: ReadonlySet<string>): void {
    for (const callback of [...this.#callbacks]) callback(keys);
  }
}

/**
 * Begins to mirror all keys below `prefix`. After a loss of contact the whole prefix is read again, with pauses from
 * 100 ms to 2 s; meanwhile `entries` is what was last known.
 */
export function createMirror(options: MirrorOptions): Mirror {
  return new ListWatchMirror(options);
}
