import { readdirSync } from 'node:fs';
import { stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from '../../../lib/errors.ts';
import { type Run, run as runHere } from '../../../lib/exec.ts';
import { renderSize } from '../../sizes.ts';
import type { DatastoreBackend, Disk } from '../backend.ts';
import { createExtents } from './extents.ts';
import { notesFile, readFolder, sweepFolder, temporaryName } from './folder-contents.ts';
import {
  fileErrorCode,
  publishFile,
  readSmallFileSync,
  replaceFile,
  syncFolder,
  translateFileError,
  unlinkIfThere,
  unlinkNowIfThere,
  writeNewFile,
} from './folder-files.ts';
import {
  deleteOlderExtents,
  extentEpoch,
  extentFile,
  namedExtent,
  newExtentFile,
  sweepExtents,
} from './new-extents.ts';
import { parseReleaseNote, releaseNoteFile, sweepReleaseNotes } from './release-notes.ts';
import { parseVmdkDescriptor, renderVmdkDescriptor } from './vmdk-descriptor.ts';

/** A datastore that is a folder which all hosts share. */
export interface FolderBackendOptions {
  readonly datastore: string;
  /** Absolute path of the folder on this host. */
  readonly path: string;
  /** ms that a disk whose holder was lost may be copied for, where the file system cannot share blocks. */
  readonly leaveBehindMs?: number;
  /** Starts the programs that look at, copy and grow files. */
  run?: Run;
}

/**
 * Disks as files: a descriptor `<name>.vmdk`, a flat extent `<name>-flat.vmdk`, and notes `<name>.vdvs.json`. The
 * descriptor holds the disk's identity and comes first and goes last, so whoever finds it knows whose the name is. Files
 * are made under a temporary name and published complete.
 */
export function createFolderBackend({
  datastore,
  path,
  leaveBehindMs = 0,
  run = runHere,
}: FolderBackendOptions): DatastoreBackend {
  const extents = createExtents({ run });
  const at = (file: string) => join(path, file);
  const nameOf = (disk: Disk) => disk.extent ?? extentFile(disk.disk);
  const extentOf = (disk: Disk) => at(nameOf(disk));
  const describe = (disk: Disk) => `volume ${disk.id.name}@${datastore}`;

  const requireOurs = (disk: Disk, uuid = disk.uuid) => {
    if (parseVmdkDescriptor(readSmallFileSync(at(disk.disk)))?.uuid === uuid) return;
    throw new VolumeError(
      'exists',
      `${describe(disk)}: the datastore holds a disk ${disk.disk} that is not this volume's; it was left alone`,
    );
  };

  const render = (disk: Disk) =>
    renderVmdkDescriptor({ sizeBytes: disk.sizeBytes, extent: nameOf(disk), uuid: disk.uuid });

  const writeDescriptor = async (disk: Disk) => {
    const name = temporaryName(path);
    await writeNewFile(name, render(disk));
    await publishFile(name, at(disk.disk));
    requireOurs(disk);
  };

  /**
   * The disk is ours, and no later takeover than the one that we know of has given it another extent: a service that was
   * stopped for long must not lead anybody back to an older one.
   */
  const requireCurrent = (disk: Disk, uuid = disk.uuid) => {
    requireOurs(disk, uuid);
    const epochOf = (extent = '') => extentEpoch(disk.disk, extent) ?? 0;
    if (epochOf(namedExtent(path, disk.disk)) <= epochOf(nameOf(disk))) return;
    throw new VolumeError('conflict', `${describe(disk)}: it was taken over from a lost host meanwhile`);
  };

  const replaceDescriptor = async (disk: Disk, formerUuid: string) => {
    const name = temporaryName(path);
    await writeNewFile(name, render(disk));
    await replaceFile(name, at(disk.disk), () => requireCurrent(disk, formerUuid));
  };

  const requireSpace = async (disk: Disk, neededBytes: number) => {
    const { bavail, bsize } = await statfs(path);
    if (disk.diskformat === 'thin' || bavail * bsize >= neededBytes) return;
    throw new VolumeError(
      'no_space',
      `${describe(disk)}: ${renderSize(disk.sizeBytes)} with diskformat ${disk.diskformat} are more than the ${renderSize(bavail * bsize)} that are free`,
    );
  };

  const extentSize = async (disk: Disk) => {
    try {
      return (await stat(extentOf(disk))).size;
    } catch (thrown) {
      if (fileErrorCode(thrown) === 'ENOENT') return undefined;
      throw thrown;
    }
  };

  const makeExtent = async (disk: Disk, fill: (name: string) => Promise<void>) => {
    const existing = await extentSize(disk);
    // Published complete and under our descriptor: nothing is left to do.
    if (existing !== undefined && existing >= disk.sizeBytes) return;
    if (existing !== undefined) {
      throw new VolumeError(
        'exists',
        `${describe(disk)}: ${nameOf(disk)} exists and is smaller; it was left alone`,
      );
    }
    const name = temporaryName(path);
    try {
      await fill(name);
    } catch (thrown) {
      await unlinkIfThere(name);
      throw thrown;
    }
    await publishFile(name, extentOf(disk), () => requireOurs(disk));
  };

  const make = async (disk: Disk, fill: (name: string) => Promise<void>) => {
    await requireSpace(disk, disk.sizeBytes);
    await writeDescriptor(disk);
    try {
      await makeExtent(disk, fill);
    } catch (thrown) {
      if (translateFileError(thrown, '').code === 'no_space') await unlinkIfThere(at(disk.disk));
      throw thrown;
    }
  };

  /** Before anybody writes to a new extent: the descriptor names it, and the older ones go. */
  const settle = async (disk: Disk) => {
    if (namedExtent(path, disk.disk) === nameOf(disk)) return;
    await replaceDescriptor(disk, disk.uuid);
    deleteOlderExtents(path, disk.disk, nameOf(disk));
  };

  const guarded = async <T>(disk: Disk, what: string, act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (thrown) {
      throw translateFileError(thrown, `${describe(disk)}: ${what}`);
    }
  };

  const looking = async <T>(what: string, act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (thrown) {
      throw translateFileError(thrown, `datastore ${datastore}: ${what}`);
    }
  };

  return {
    // "~" is in no name: else volume "a-flat" would have its descriptor where volume "a" has its bytes.
    diskPath: (name) => (name.endsWith('-flat') ? `${name}~.vmdk` : `${name}.vmdk`),
    unsupported(options) {
      if (options.policy !== undefined) {
        return `storage policy "${options.policy}": a datastore folder has no storage policies`;
      }
      return undefined;
    },
    create: (disk) =>
      guarded(disk, 'create', () =>
        make(disk, (name) => extents.blank(name, disk.sizeBytes, disk.diskformat)),
      ),
    copy: (disk, from) =>
      guarded(disk, 'copy', () =>
        make(disk, (name) => extents.copy(from.path, name, disk.sizeBytes, disk.diskformat)),
      ),
    source: (disk) =>
      guarded(disk, 'read', async () => {
        requireCurrent(disk);
        await stat(extentOf(disk));
        return { kind: 'file', path: extentOf(disk) };
      }),
    grow: (disk) =>
      guarded(disk, 'grow', async () => {
        requireCurrent(disk);
        const { size } = await stat(extentOf(disk));
        if (size < disk.sizeBytes) {
          await requireSpace(disk, disk.sizeBytes - size);
          await extents.extend(extentOf(disk), disk.sizeBytes, disk.diskformat);
        }
        const told = parseVmdkDescriptor(readSmallFileSync(at(disk.disk)))?.sizeBytes ?? 0;
        if (told < disk.sizeBytes) await replaceDescriptor(disk, disk.uuid);
      }),
    describe: (disk, notes) =>
      guarded(disk, 'describe', async () => {
        const name = temporaryName(path);
        await writeNewFile(name, `${JSON.stringify(notes, undefined, 2)}\n`);
        await replaceFile(name, at(notesFile(disk.disk)), () => requireOurs(disk));
      }),
    contents: () => looking('scan', () => readFolder(path)),
    sweep: (current) =>
      looking('sweep', async () => [
        ...(await sweepFolder(path)),
        ...(await sweepExtents(path, current)),
        ...(await sweepReleaseNotes(path, current)),
      ]),
    takeOver: (disk, formerUuid) =>
      guarded(disk, 'take over', async () => {
        const uuid = parseVmdkDescriptor(readSmallFileSync(at(disk.disk)))?.uuid;
        if (uuid !== disk.uuid) await replaceDescriptor(disk, formerUuid);
      }),
    remove: (disk) =>
      guarded(disk, 'remove', async () => {
        await stat(path);
        // Look and act in one turn of the event loop: a service that was stopped for long must not come back here and
        // delete the disk of a newer volume of the same name.
        try {
          requireOurs(disk);
        } catch (thrown) {
          if (fileErrorCode(thrown) === 'ENOENT') return;
          throw thrown;
        }
        const ofEpochs = readdirSync(path).filter(
          (name) => extentEpoch(disk.disk, name) !== undefined || parseReleaseNote(name)?.disk === disk.disk,
        );
        for (const file of [...ofEpochs, notesFile(disk.disk), disk.disk]) {
          unlinkNowIfThere(at(file));
        }
        await syncFolder(path);
      }),
    usage: (disk) =>
      guarded(disk, 'look', async () => {
        try {
          const { size, blocks } = await stat(extentOf(disk));
          return { sizeBytes: size, allocatedBytes: blocks * 512 };
        } catch (thrown) {
          if (fileErrorCode(thrown) !== 'ENOENT') throw thrown;
          // Without its folder nobody can say that the disk is gone.
          await stat(path);
          return undefined;
        }
      }),
    attach: (disk, _node, epoch) =>
      guarded(disk, 'attach', async () => {
        requireCurrent(disk);
        await stat(extentOf(disk));
        await settle(disk);
        // Who has the disk now has outlived the note of whom it had before.
        unlinkNowIfThere(at(releaseNoteFile(disk, epoch - 1)));
        return {
          kind: 'folder-file',
          datastore,
          file: nameOf(disk),
          releaseNote: releaseNoteFile(disk, epoch),
        };
      }),
    hasReleaseNote: (disk, epoch) =>
      looking('look for a release note', () => extents.isThere(at(releaseNoteFile(disk, epoch)))),
    stamp: (disk) => looking('stamp', () => extents.stamp(extentOf(disk))),
    leaveBehind: (disk, epoch, aheadMs = 0, signal) =>
      guarded(disk, 'leave the lost holder behind', async () => {
        requireCurrent(disk);
        const extent = newExtentFile(disk.disk, epoch);
        const done = await extents
          // Who wants nothing to be copied in a takeover wants none ahead of it.
          .twin(extentOf(disk), at(extent), disk.diskformat, leaveBehindMs && leaveBehindMs + aheadMs, signal)
          .catch(async (thrown) => {
            await unlinkIfThere(at(extent));
            throw thrown;
          });
        if (done) await syncFolder(path);
        else await unlinkIfThere(at(extent));
        return done ? extent : undefined;
      }),
    discard: (extent) => looking('discard', () => unlinkIfThere(at(extent))),
    // Hosts reach the folder all the time: the attachment record alone decides who may open the disk.
    detach: async () => undefined,
  };
}
