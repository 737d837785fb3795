import { randomUUID } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FoundDisk } from '../backend.ts';
import { fileErrorCode, readSmallFileSync, unlinkIfThere, writeNewFile } from './folder-files.ts';
import { extentEpoch, extentFile, parseNewExtent } from './new-extents.ts';
import { parseVmdkDescriptor } from './vmdk-descriptor.ts';

/** Beginning of the names of files that are being made. */
const temporaryPrefix = '.creating-';

/** ms without a write after which a file that was being made counts as left behind. */
const abandonedMs = 60 * 60_000;

/** A new name for a file that is being made in a folder. */
export function temporaryName(folder: string): string {
  return join(folder, `${temporaryPrefix}${randomUUID()}`);
}

/** File with the notes on a disk, beside its descriptor. No disk has such a name: those end in `.vmdk`. */
export function notesFile(disk: string): string {
  return disk.replace(/\.vmdk$/, '.vdvs.json');
}

/** `undefined` for a file that is gone or no JSON. */
async function readNotes(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (thrown) {
    if (thrown instanceof SyntaxError || fileErrorCode(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}

/** Reads all descriptors of a folder; extents without one and descriptors of other tools are strange. */
export async function readFolder(folder: string): Promise<{ disks: FoundDisk[]; strange: string[] }> {
  const names = new Set((await readdir(folder)).filter((name) => name.endsWith('.vmdk')).sort());
  const disks: FoundDisk[] = [];
  const strange: string[] = [];
  const extents = new Set<string>();
  for (const disk of names) {
    if (disk.endsWith('-flat.vmdk')) continue;
    const descriptor = parseVmdkDescriptor(readSmallFileSync(join(folder, disk)));
    const extent = descriptor?.extent ?? '';
    if (!descriptor || extentEpoch(disk, extent) === undefined || !names.has(extent)) {
      strange.push(disk);
      continue;
    }
    extents.add(extent);
    const { size } = await stat(join(folder, extent));
    const notes = await readNotes(join(folder, notesFile(disk)));
    const elsewhere = extent === extentFile(disk) ? {} : { extent };
    disks.push({ disk, uuid: descriptor.uuid, sizeBytes: size, ...elsewhere, notes });
  }
  const unused = [...names].filter((name) => name.endsWith('-flat.vmdk') && !extents.has(name));
  // What a takeover left is no disk that somebody should look at: it is swept.
  strange.push(...unused.filter((name) => !names.has(parseNewExtent(name)?.disk ?? '')));
  return { disks, strange };
}

/**
 * Deletes files that were being made and that nobody has written to for an hour, by the datastore's own clock. Whoever comes
 * back to one later finds it gone and fails, before it has a name.
 */
export async function sweepFolder(folder: string): Promise<string[]> {
  const left = (await readdir(folder)).filter((name) => name.startsWith(temporaryPrefix));
  if (left.length === 0) return [];
  const probe = temporaryName(folder);
  await writeNewFile(probe, '');
  const now = (await stat(probe)).mtimeMs;
  await unlinkIfThere(probe);
  const swept: string[] = [];
  for (const name of left) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    if (!found || now - found.mtimeMs < abandonedMs) continue;
    await unlinkIfThere(join(folder, name));
    swept.push(name);
  }
  return swept;
}
