import { link, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VolumeError } from '../../../lib/errors.ts';

/** The `code` of an error of the file system, '' for anything else. */
export function fileErrorCode(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
}

/** An error of the file system as users should see it. */
export function translateFileError(thrown: unknown, what: string): VolumeError {
  if (thrown instanceof VolumeError) return thrown;
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  const code = fileErrorCode(thrown);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new VolumeError('no_space', `${what}: no space left in the datastore`, { cause: thrown });
  }
  if (['ENOENT', 'ENOTDIR', 'EIO', 'ESTALE', 'EROFS', 'EACCES'].includes(code)) {
    return new VolumeError('unavailable', `${what}: the datastore cannot be used: ${why}`, { cause: thrown });
  }
  return new VolumeError('internal', `${what}: ${why}`, { cause: thrown });
}

/** Makes names in a folder last, as `fsync` of a file does its content. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } catch (thrown) {
    // Some shared file systems have no such operation for folders; they write names at once.
    if (!['EINVAL', 'EBADF', 'ENOTSUP', 'ENOSYS'].includes(fileErrorCode(thrown))) throw thrown;
  } finally {
    await folder.close();
  }
}

/** Deletes; success when there is none. */
export async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (thrown) {
    if (fileErrorCode(thrown) !== 'ENOENT') throw thrown;
  }
}

/**
 * Gives the finished file at `temporary` its final name unless that is taken: unlike a rename this can never replace
 * a file that another service made and a host already uses.
 * @returns whether this call did it.
 */
export async function publishFile(temporary: string, final: string): Promise<boolean> {
  try {
    await link(temporary, final);
    return true;
  } catch (thrown) {
    if (fileErrorCode(thrown) === 'EEXIST') return false;
    throw thrown;
  } finally {
    await unlinkIfThere(temporary);
    await syncFolder(dirname(final));
  }
}
