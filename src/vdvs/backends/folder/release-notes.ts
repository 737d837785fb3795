import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CurrentExtent, Disk } from '../backend.ts';
import { unlinkIfThere } from './folder-files.ts';
import { type OfEpoch, parseOfEpoch } from './new-extents.ts';

/**
 * File that the holder of this epoch makes when it has let go of the disk for good: it is there, or it is not. The disk's
 * identity is in its name, so that it says nothing of a later disk of the same name. "~" is in no volume's name.
 */
export function releaseNoteFile({ disk, uuid }: Pick<Disk, 'disk' | 'uuid'>, epoch: number): string {
  return disk.replace(/\.vmdk$/, `~${epoch}-${uuid}.released`);
}

/** Whose release note a file is; `undefined` for any other file. */
export function parseReleaseNote(name: string): OfEpoch | undefined {
  return parseOfEpoch(name, '.released');
}

/**
 * Deletes the notes of holders that are not the last any more, and of disks that are gone. A host that was out of contact
 * may write one long after the disk was given on.
 * @returns their names.
 */
export async function sweepReleaseNotes(
  folder: string,
  current: () => Promise<ReadonlyMap<string, CurrentExtent>>,
): Promise<string[]> {
  const names = await readdir(folder);
  const notes = names.flatMap((name) => {
    const parsed = parseReleaseNote(name);
    return parsed ? [{ name, ...parsed }] : [];
  });
  if (notes.length === 0) return [];
  const records = await current();
  const left = notes.filter(({ disk, epoch }) => {
    const record = records.get(disk);
    return record ? epoch < record.epoch : !names.includes(disk);
  });
  for (const { name } of left) await unlinkIfThere(join(folder, name));
  return left.map(({ name }) => name);
}
