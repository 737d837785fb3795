import { type FileHandle, open, stat } from 'node:fs/promises';
import { toVolumeError, VolumeError } from '../../../lib/errors.ts';
import type { Run } from '../../../lib/exec.ts';
import type { BlockOptions } from '../../types.ts';

/** Bytes of disks: making, copying and extending the files that hold them. */
export interface Extents {
  /** Writes a new file of this size, all bytes zero. */
  blank(path: string, sizeBytes: number, diskformat: BlockOptions['diskformat']): Promise<void>;
  /** Writes a new file with the content of another one, cut or extended to this size. */
  copy(from: string, path: string, sizeBytes: number, diskformat: BlockOptions['diskformat']): Promise<void>;
  /**
   * Writes a new file with all of another one: shares its blocks where the file system can, else copies what is allocated.
   * @param withinMs 0: only if nothing has to be copied.
   * @returns false when it would take or took longer; then there may be a part of the file.
   */
  twin(
    from: string,
    path: string,
    diskformat: BlockOptions['diskformat'],
    withinMs: number,
  ): Promise<boolean>;
  /** Makes a file that may be in use at least this large. Never writes below the size that it has. */
  extend(path: string, sizeBytes: number, diskformat: BlockOptions['diskformat']): Promise<void>;
}

/** Zeroes are written in pieces of this size, in bytes. */
const pieceBytes = 4 * 2 ** 20;

/** ms for programs that do not copy; copying may take this, and longer by its slowest speed in bytes per second. */
const limits = { runMs: 60_000, slowestCopy: 2 * 2 ** 20 } as const;

/** Bytes per ms that no copy exceeds: what is more is not begun. */
const fastestCopy = 2 ** 20;

async function withFile(path: string, flags: string, act: (file: FileHandle) => Promise<void>) {
  const file = await open(path, flags, 0o600);
  try {
    await act(file);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Appends, so that nothing that another one has put there meanwhile can be overwritten. */
async function appendZeroes(path: string, sizeBytes: number): Promise<void> {
  const zeroes = Buffer.alloc(pieceBytes);
  await withFile(path, 'a', async (file) => {
    for (let { size } = await file.stat(); size < sizeBytes; size += pieceBytes) {
      await file.write(zeroes, 0, Math.min(pieceBytes, sizeBytes - size));
    }
  });
}

/** Files in a folder, by the system's calls and by `cp` and `fallocate`, which know what the file system can do. */
export function createExtents({ run }: { run: Run }): Extents {
  /** Allocates without writing where the file system can, else by writing. Leaves what is there as it is. */
  const allocate = async (path: string, sizeBytes: number) => {
    const { size } = await stat(path);
    if (size >= sizeBytes) return;
    const args = ['-o', String(size), '-l', String(sizeBytes - size), path];
    const { exitCode } = await run('fallocate', args, { timeoutMs: limits.runMs, okCodes: [0, 1] });
    // 1: no such call here, or no space, which the writing says in its own words.
    if (exitCode !== 0) await appendZeroes(path, sizeBytes);
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
    await run('dd', [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'], {
      timeoutMs: limits.runMs,
      input: '',
    });
  };

  return {
    extend,
    async blank(path, sizeBytes, diskformat) {
      await withFile(path, 'wx', async () => undefined);
      if (diskformat === 'eagerzeroedthick') await appendZeroes(path, sizeBytes);
      else await extend(path, sizeBytes, diskformat);
    },
    async twin(from, path, diskformat, withinMs) {
      const until = performance.now() + withinMs;
      await forget(from);
      const { size, blocks } = await stat(from);
      const mayCopy = (diskformat === 'thin' ? blocks * 512 : size) <= withinMs * fastestCopy;
      // Nothing else of the old file is kept, so its blocks become the new one's alone, also a thick disk's.
      const how = mayCopy
        ? ['--reflink=auto', diskformat === 'thin' ? '--sparse=always' : '--sparse=never']
        : ['--reflink=always'];
      try {
        await run('cp', [...how, '--no-target-directory', from, path], {
          timeoutMs: mayCopy ? Math.max(1, until - performance.now()) : limits.runMs,
          env: { LC_ALL: 'C' },
        });
      } catch (thrown) {
        if (!mayCopy || toVolumeError(thrown).code === 'timeout') return false;
        throw thrown;
      }
      await withFile(path, 'r+', (file) => file.chmod(0o600));
      return true;
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
