import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from '../../lib/errors.ts';
import { replaceFile } from '../../lib/replace-file.ts';
import { type MemberState, memberStateSchema } from './types.ts';

/** etcd's data and this supervisor's state, in one directory that outlives the container. */
export class DataDirectory {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** etcd's own directory. */
  get etcd(): string {
    return join(this.#root, 'data');
  }

  /** Whether etcd has written its log here: from then on the data, not the flags, say who the member is. */
  async hasData(): Promise<boolean> {
    try {
      const names = await readdir(join(this.etcd, 'member', 'wal'));
      return names.some((name) => name.endsWith('.wal'));
    } catch (thrown) {
      if (isMissing(thrown)) return false;
      throw thrown;
    }
  }

  /** @throws VolumeError `internal` when the file is damaged. @returns `undefined` when there is none. */
  async readState(): Promise<MemberState | undefined> {
    const path = join(this.#root, 'state.json');
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw thrown;
    }
    try {
      return memberStateSchema.parse(JSON.parse(text));
    } catch (cause) {
      throw new VolumeError('internal', `${path} is damaged; move it away to go on without it`, { cause });
    }
  }

  /** Durable when it resolves. */
  async writeState(state: MemberState): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    const path = join(this.#root, 'state.json');
    await replaceFile(path, `${JSON.stringify(state)}\n`, { durable: true });
    await this.#sync();
  }

  /** Moves etcd's data out of the way; the last that were so moved are kept, for the case that somebody needs them. */
  async setAside(now: number): Promise<string> {
    const names = await readdir(this.#root);
    const kept = `removed-${new Date(now).toISOString().replaceAll(':', '')}`;
    await rename(this.etcd, join(this.#root, kept));
    for (const name of names.filter((old) => old.startsWith('removed-'))) {
      await rm(join(this.#root, name), { recursive: true, force: true });
    }
    await this.#sync();
    return join(this.#root, kept);
  }

  async #sync(): Promise<void> {
    const directory = await open(this.#root, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

function isMissing(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT';
}
