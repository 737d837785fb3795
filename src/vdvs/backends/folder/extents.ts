import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { toVolumeError, VolumeError } from '../../../lib/errors.ts';
import type { Run } from '../../../lib/exec.ts';
import { forgetPages } from '../../forget-pages.ts';
import type { BlockOptions } from '../../types.ts';

/** Bytes of disks: making, copying and extending the files that hold them. */
export interface Extents {
  /** Writes a new file of this size, all bytes zero. */
  blank(path: string, sizeBytes: number, diskformat: BlockOptions['diskformat']): Promise<void>;
  /** Writes a new file with the content of another one, cut or extended to this size. */
  copy(from: string, path: string, sizeBytes: number, diskformat: BlockOptions['diskformat']): Promise<void>;
  /**
   * Writes a new file with all of another one: shares its blocks where the file system can, else copies what is allocated.
   * @param withinMs for copying, until all of it is in the datastore; 0: only if nothing has to be copied. Sharing may take
   *   longer: it does not depend on the size.
   * @param signal ends the copying.
   * @returns false when it would take or took longer; then there may be a part of the file, which may still be written to.
   */
  twin(
    from: string,
    path: string,
    diskformat: BlockOptions['diskformat'],
    withinMs: number,
    signal?: AbortSignal,
  ): Promise<boolean>;
  /** Whether a file is there now, whatever this host remembers of its folder. */
  isThere(path: string): Promise<boolean>;
  /** A text that is another one after a write to the file on any host; see `DatastoreBackend.stamp`. */
  stamp(path: string): Promise<string>;
  /** Makes a file that may be in use at least this large. Never writes below the size that it has. */
  extend(path: string, sizeBytes: number, diskformat: BlockOptions['diskformat']): Promise<void>;
}

/** Zeroes are written in pieces of this size, in bytes. */
const pieceBytes = 4 * 2 ** 20;

/** ms for programs that do not copy; copying may take this, and longer by its slowest speed in bytes per second. */
const limits = { runMs: 60_000, stampMs: 5_000, slowestCopy: 2 * 2 ** 20 } as const;

/** Bytes per ms that no copy exceeds: what is more is not begun. */
const fastestCopy = 2 ** 20;

/** @returns false when it is not done in time; it goes on then, and nobody waits for it. */
async function isDoneWithin(ms: number, work: Promise<void>): Promise<boolean> {
  const over = new AbortController();
  work.catch(() => undefined);
  try {
    return await Promise.race([work.then(() => true), delay(ms, false, { signal: over.signal })]);
  } finally {
    over.abort();
  }
}

/**
 * Files in a folder, by the system's calls and by `cp` and `fallocate`, which know what the file system can do.
 * @param sync has what was written to a file in the datastore when it resolves; a seam, for datastores that are slow.
 */
export function createExtents({
  run,
  sync = (file) => file.sync(),
}: {
  run: Run;
  sync?: (file: FileHandle) => Promise<void>;
}): Extents {
  const withFile = async (path: string, flags: string, act: (file: FileHandle) => Promise<void>) => {
    const file = await open(path, flags, 0o600);
    try {
      await act(file);
      await sync(file);
    } finally {
      await file.close();
    }
  };

  /** Appends, so that nothing that another one has put there meanwhile can be overwritten. */
  const appendZeroes = async (path: string, sizeBytes: number): Promise<void> => {
    const zeroes = Buffer.alloc(pieceBytes);
    await withFile(path, 'a', async (file) => {
      for (let { size } = await file.stat(); size < sizeBytes; size += pieceBytes) {
        await file.write(zeroes, 0, Math.min(pieceBytes, sizeBytes - size));
      }
    });
  };

  /** Allocates without writing where the file system can, else by writing. Leaves what is there as it is. */
  const allocate = async (path: string, sizeBytes: number) => {
    const { size } = await stat(path);
    if (size >= sizeBytes) return;
    const args = ['-o', String(size), '-l', String(sizeBytes - size), path];
    const { exitCode } = await run('fallocate', args, { timeoutMs: limits.runMs, okCodes: [0, 1] });
    // 1: no such call here, or no space, which the writing says in its own words.
    if (exitCode !== 0) await appendZeroes(path, sizeBytes);
  };

  /** Allocates what of a file that shares its blocks has none: those that were never written to are not shared. */
  const reserve = async (path: string) => {
    const { size, blocks } = await stat(path);
    if (blocks * 512 >= size) return;
    const args = ['-l', String(size), path];
    const { exitCode, stderr } = await run('fallocate', args, { timeoutMs: limits.runMs, okCodes: [0, 1] });
    if (exitCode === 0) return;
    throw new VolumeError('no_space', `the blocks of a thick disk cannot be allocated again: ${stderr}`);
  };

  const extend: Extents['extend'] = async (path, sizeBytes, diskformat) => {
    if ((await stat(path)).size >= sizeBytes) return;
    if (diskformat !== 'thin') return await allocate(path, sizeBytes);
    await withFile(path, 'r+', async (file) => {
      // Again, now that it is open: another service may have made it larger still.
      if ((await file.stat()).size < sizeBytes) await file.truncate(sizeBytes);
    });
  };

  /** What this host remembers of a file may be older than what another host has written. */
  const forget = async (path: string) => {
    await stat(path);
    await forgetPages(run, path, limits.runMs);
  };

  return {
    extend,
    async stamp(path) {
      // What this host remembers of the file's times may be a minute old on NFS.
      const how = ['--cached=never', '--format=%i %s %.9Y %.9Z'];
      return (await run('stat', [...how, path], { timeoutMs: limits.stampMs })).stdout.trim();
    },
    async isThere(path) {
      // The folder first: once its times are known anew, NFS does not rely on that it had no such file a moment ago.
      const how = ['--cached=never', '--format=%n', dirname(path), path];
      const { stdout } = await run('stat', how, { timeoutMs: limits.stampMs, okCodes: [0, 1] });
      return stdout.split('\n').includes(path);
    },
    async blank(path, sizeBytes, diskformat) {
      await withFile(path, 'wx', async () => undefined);
      if (diskformat === 'eagerzeroedthick') await appendZeroes(path, sizeBytes);
      else await extend(path, sizeBytes, diskformat);
    },
    async twin(from, path, diskformat, withinMs, signal) {
      const until = performance.now() + withinMs;
      const left = () => Math.max(1, until - performance.now());
      const thin = diskformat === 'thin';
      await forget(from);
      const finish = () => withFile(path, 'r+', (file) => file.chmod(0o600));
      const cp = (how: readonly string[], timeoutMs: number, okCodes: readonly number[]) =>
        run('cp', [...how, '--no-target-directory', from, path], {
          timeoutMs,
          okCodes,
          env: { LC_ALL: 'C' },
          ...(signal ? { signal } : {}),
        });
      // Nothing else of the old file is kept, so its blocks become the new one's alone, also a thick disk's.
      if ((await cp(['--reflink=always'], limits.runMs, [0, 1])).exitCode === 0) {
        if (!thin) await reserve(path);
        await finish();
        return true;
      }
      const { size, blocks } = await stat(from);
      if ((thin ? blocks * 512 : size) >= withinMs * fastestCopy) return false;
      try {
        await cp(['--reflink=never', thin ? '--sparse=always' : '--sparse=never'], left(), [0]);
      } catch (thrown) {
        if (toVolumeError(thrown).code === 'timeout') return false;
        throw thrown;
      }
      // Until here much of it may be in this host's memory only.
      return await isDoneWithin(left(), finish());
    },
    async copy(from, path, sizeBytes, diskformat) {
      await forget(from);
      const how =
        diskformat === 'thin'
          ? ['--reflink=auto', '--sparse=always']
          : // Thick means that its space is its own.
            ['--reflink=never', '--sparse=never'];
      const { size } = await stat(from);
      try {
        await run('cp', [...how, '--no-target-directory', from, path], {
          timeoutMs: limits.runMs + (size / limits.slowestCopy) * 1_000,
          env: { LC_ALL: 'C' },
        });
      } catch (thrown) {
        if (!/No space left|quota exceeded/i.test(String(thrown))) throw thrown;
        throw new VolumeError('no_space', 'no space left in the datastore for the copy', { cause: thrown });
      }
      await withFile(path, 'r+', async (file) => {
        if (size > sizeBytes) await file.truncate(sizeBytes);
        await file.chmod(0o600);
      });
      await extend(path, sizeBytes, diskformat);
    },
  };
}
