import { closeSync, linkSync, openSync, readSync, renameSync, unlinkSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
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

/** As `unlinkIfThere`, in the same turn of the event loop as the look that it was decided by. */
export function unlinkNowIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (thrown) {
    if (fileErrorCode(thrown) !== 'ENOENT') throw thrown;
  }
}

/**
 * Gives the finished file at `temporary` its final name unless that is taken: unlike a rename this can never replace
 * a file that another service made and a host already uses.
 * @param check throws when the name is not this caller's any more. Look and act are one turn of the event loop, so that a
 *   service that was stopped for long does not act on what it saw before.
 * @returns whether this call did it.
 */
export async function publishFile(temporary: string, final: string, check = () => {}): Promise<boolean> {
  try {
    check();
    linkSync(temporary, final);
    return true;
  } catch (thrown) {
    if (fileErrorCode(thrown) === 'EEXIST') return false;
    throw thrown;
  } finally {
    await unlinkIfThere(temporary);
    await syncFolder(dirname(final));
  }
}

/** As `publishFile`, replacing what has the name. */
export async function replaceFile(temporary: string, final: string, check: () => void): Promise<void> {
  try {
    check();
    renameSync(temporary, final);
    await syncFolder(dirname(final));
  } catch (thrown) {
    await unlinkIfThere(temporary);
    throw thrown;
  }
}

/** Writes a new file whose content is in the datastore when it resolves. */
export async function writeNewFile(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Text of a small file, or as much of it as a descriptor can be: what has such a name may be an extent of many gigabytes. */
export function readSmallFileSync(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(64 * 1024);
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0)).toString('utf8');
  } finally {
    closeSync(file);
  }
}
