import { type FSWatcher, watch } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../lib/log.ts';
import { syncRecoveryRecords } from './recovery-records.ts';

/**
 * Makes ganesha's records of clients durable as they come. ganesha creates a directory for each client but does not sync
 * it: if the host lost power within the journal's commit interval (5 s on ext4) after a client's first mount, its server
 * on the next host would not know it and refuse to give its locks back. On ext4 the directories are also marked
 * `dirsync` (`markDirSync`), where the kernel syncs before ganesha answers; this covers every other file system to within
 * milliseconds.
 */
export class RecoverySync {
  readonly #root: string;
  readonly #log: Log;
  readonly #watchers = new Map<string, FSWatcher>();
  #running = false;
  #again = false;
  #stopped = false;

  constructor({ recoveryRoot, log }: { recoveryRoot: string; log: Log }) {
    this.#root = recoveryRoot;
    this.#log = log;
  }

  /** Starts watching. The directory need not exist yet. */
  async start(): Promise<void> {
    await mkdir(join(this.#root, 'v4recov'), { recursive: true, mode: 0o700 });
    await this.#watchAll();
    this.#changed();
  }

  stop(): void {
    this.#stopped = true;
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  async #watchAll(): Promise<void> {
    const top = join(this.#root, 'v4recov');
    const found = await readdir(top, { withFileTypes: true });
    const wanted = new Set([top, ...found.filter((e) => e.isDirectory()).map((e) => join(top, e.name))]);
    for (const [path, watcher] of this.#watchers) {
      if (wanted.has(path)) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
    for (const path of wanted) {
      if (this.#stopped || this.#watchers.has(path)) continue;
      try {
        const watcher = watch(path, { persistent: false }, () => this.#changed());
        watcher.on('error', () => watcher.close());
        this.#watchers.set(path, watcher);
      } catch (error) {
        // Gone again already; its parent's watch told, or will tell, of it.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }

  #changed(): void {
    this.#again = true;
    if (this.#running || this.#stopped) return;
    this.#running = true;
    void this.#work().finally(() => {
      this.#running = false;
    });
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      try {
        // Watch before syncing: what comes after the watch is seen, what came before is synced.
        await this.#watchAll();
        await syncRecoveryRecords(this.#root);
      } catch (error) {
        // The write probe decides whether the disk is dead; here it is only said.
        this.#log.warn(`records of clients could not be synced: ${(error as Error).message}`);
      }
    }
  }
}
