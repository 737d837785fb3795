import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CurrentExtent } from '../backend.ts';
import { fileErrorCode, readSmallFileSync, unlinkIfThere, unlinkNowIfThere } from './folder-files.ts';
import { parseVmdkDescriptor } from './vmdk-descriptor.ts';

/** File with the bytes of a disk, until a takeover gives it another one. */
export function extentFile(disk: string): string {
  return disk.replace(/\.vmdk$/, '-flat.vmdk');
}

/** A name that no file ever had, for the bytes of a disk from this epoch on. "~" is in no volume's name. */
export function newExtentFile(disk: string, epoch: number): string {
  return disk.replace(/\.vmdk$/, `~${epoch}-${randomUUID()}-flat.vmdk`);
}

/** What a disk has one of for each of some epochs. */
export interface OfEpoch {
  readonly disk: string;
  readonly epoch: number;
}

const ofEpochPattern = /^(.+)~(\d+)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(-flat\.vmdk|\.released)$/;

/** Whose a file is of those that have epoch and UUID in their names and end in this; `undefined` for any other name. */
export function parseOfEpoch(name: string, ending: '-flat.vmdk' | '.released'): OfEpoch | undefined {
  const [, stem, epoch, end] = ofEpochPattern.exec(name) ?? [];
  return stem === undefined || end !== ending ? undefined : { disk: `${stem}.vmdk`, epoch: Number(epoch) };
}

/** Which disk a file holds or held the bytes of, from which epoch on; `undefined` for a name of another form. */
export function parseNewExtent(name: string): OfEpoch | undefined {
  return parseOfEpoch(name, '-flat.vmdk');
}

/** Epoch from which on a file has held the bytes of `disk`: 0 for the one named after it, `undefined` for none of its files. */
export function extentEpoch(disk: string, extent: string): number | undefined {
  if (extent === extentFile(disk)) return 0;
  const parsed = parseNewExtent(extent);
  return parsed?.disk === disk ? parsed.epoch : undefined;
}

/** What the descriptor of a disk names as its extent; `undefined` when there is none of ours. */
export function namedExtent(folder: string, disk: string): string | undefined {
  try {
    return parseVmdkDescriptor(readSmallFileSync(join(folder, disk)))?.extent;
  } catch (thrown) {
    if (fileErrorCode(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}

/**
 * Deletes what a disk whose record names `extent` has from before: what is newer is another holder's, and of the same epoch
 * another service may be making one yet, which it deletes itself. Look and act are one turn of the event loop: the file that is named after the disk may be that of a newer volume
 * of the same name when a service that was stopped for long comes back here.
 */
export function deleteOlderExtents(folder: string, disk: string, extent: string): void {
  const epoch = extentEpoch(disk, extent) ?? 0;
  if (epoch === 0 || namedExtent(folder, disk) !== extent) return;
  for (const name of readdirSync(folder)) {
    if ((extentEpoch(disk, name) ?? epoch) < epoch) unlinkNowIfThere(join(folder, name));
  }
}

/**
 * Deletes what takeovers left: extents of an epoch that the disk's record has reached while neither record nor descriptor
 * names them, so that no takeover under way can make them the disk's any more; and those of disks that are gone.
 * @returns their names.
 */
export async function sweepExtents(
  folder: string,
  current: () => Promise<ReadonlyMap<string, CurrentExtent>>,
): Promise<string[]> {
  const names = new Set(await readdir(folder));
  if (![...names].some((name) => parseNewExtent(name))) return [];
  const records = await current();
  const left = [...names].filter((name) => {
    const { disk, epoch } = parseNewExtent(name) ?? {};
    if (disk === undefined || epoch === undefined) return false;
    const record = records.get(disk);
    if (!record) return !names.has(disk);
    return record.epoch >= epoch && record.extent !== name && namedExtent(folder, disk) !== name;
  });
  for (const name of left) await unlinkIfThere(join(folder, name));
  for (const [disk, { extent }] of records) {
    const first = extentFile(disk);
    // As in `deleteOlderExtents`.
    if (extent === undefined || !names.has(first) || namedExtent(folder, disk) !== extent) continue;
    unlinkNowIfThere(join(folder, first));
    left.push(first);
  }
  return left;
}
