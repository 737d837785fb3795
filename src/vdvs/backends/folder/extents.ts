import { type FileHandle, open, stat } from 'node:fs/promises';
import { VolumeError } from '../../../lib/errors.ts';
import type { Run } from '../../../lib/exec.ts';
import type { BlockOptions } from '../../types.ts';

/** Bytes of disks: making, copying and extending the files that hold them. */
export interface Extents {
  /** Writes a new file of this size, all bytes zero. */
  blank(path: string, sizeBytes: number, diskformat: BlockOptions['diskformat']): Promise<void>;
  /** Writes a new file with the content of another one, cut or extended to this size. */
  copy(from: string, path: string, sizeBytes: number, diskformat: BlockOptions['diskformat']): Promise<void>;
  /** Makes a file that may be in use at least this large. Never writes below the size that it has. */
  extend(path: string, sizeBytes: number, diskformat: BlockOptions['diskformat']): Promise<void>;
}

/** Zeroes are written in pieces of this size, in bytes. */
const pieceBytes = 4 * 2 ** 20;

/** ms for programs that do not copy; copying may take this, and longer by its slowest speed in bytes per second. */
const limits = { runMs: 60_000, slowestCopy: 2 * 2 ** 20 } as const;

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

  return {
    extend,
    async blank(path, sizeBytes, diskformat) {
      await withFile(path, 'wx', async () => undefined);
      if (diskformat === 'eagerzeroedthick') await appendZeroes(path, sizeBytes);
      else await extend(path, sizeBytes, diskformat);
    },
    async copy(from, path, sizeBytes, diskformat) {
      // What this host remembers of the source may be older than what another host has written.
      await run('dd', [`of=${from}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'], {
        timeoutMs: limits.runMs,
        input: '',
      });
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
