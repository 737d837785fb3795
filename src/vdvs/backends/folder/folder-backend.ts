import { unlinkSync } from 'node:fs';
import { stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from '../../../lib/errors.ts';
import { run as runProgram } from '../../../lib/exec.ts';
import { renderSize } from '../../sizes.ts';
import type { DatastoreBackend, Disk } from '../backend.ts';
import { createExtents } from './extents.ts';
import { extentFile, notesFile, readFolder, sweepFolder, temporaryName } from './folder-contents.ts';
import {
  fileErrorCode,
  publishFile,
  readSmallFileSync,
  replaceFile,
  syncFolder,
  translateFileError,
  unlinkIfThere,
  writeNewFile,
} from './folder-files.ts';
import { parseVmdkDescriptor, renderVmdkDescriptor } from './vmdk-descriptor.ts';

/** A datastore that is a folder which all hosts share. */
export interface FolderBackendOptions {
  readonly datastore: string;
  /** Absolute path of the folder on this host. */
  readonly path: string;
}

/**
 * Disks as files: a descriptor `<name>.vmdk`, a flat extent `<name>-flat.vmdk`, and notes `<name>.vdvs.json`. The
 * descriptor holds the disk's identity and comes first and goes last, so whoever finds it knows whose the name is. Files
 * are made under a temporary name and published complete.
 */
export function createFolderBackend({ datastore, path }: FolderBackendOptions): DatastoreBackend {
  const extents = createExtents({ run: runProgram });
  const at = (file: string) => join(path, file);
  const extentOf = (disk: Disk) => at(extentFile(disk.disk));
  const describe = (disk: Disk) => `volume ${disk.id.name}@${datastore}`;

  const requireOurs = (disk: Disk, uuid = disk.uuid) => {
    if (parseVmdkDescriptor(readSmallFileSync(at(disk.disk)))?.uuid === uuid) return;
    throw new VolumeError(
      'exists',
      `${describe(disk)}: the datastore holds a disk ${disk.disk} that is not this volume's; it was left alone`,
    );
  };

  const render = (disk: Disk) =>
    renderVmdkDescriptor({ sizeBytes: disk.sizeBytes, extent: extentFile(disk.disk), uuid: disk.uuid });

  const writeDescriptor = async (disk: Disk) => {
    const name = temporaryName(path);
    await writeNewFile(name, render(disk));
    await publishFile(name, at(disk.disk));
    requireOurs(disk);
  };

  const replaceDescriptor = async (disk: Disk, formerUuid: string) => {
    const name = temporaryName(path);
    await writeNewFile(name, render(disk));
    await replaceFile(name, at(disk.disk), () => requireOurs(disk, formerUuid));
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
        `${describe(disk)}: ${extentFile(disk.disk)} exists and is smaller; it was left alone`,
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
        requireOurs(disk);
        await stat(extentOf(disk));
        return { kind: 'file', path: extentOf(disk) };
      }),
    grow: (disk) =>
      guarded(disk, 'grow', async () => {
        requireOurs(disk);
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
    sweep: () => looking('sweep', () => sweepFolder(path)),
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
        for (const file of [extentFile(disk.disk), notesFile(disk.disk), disk.disk]) {
          try {
            unlinkSync(at(file));
          } catch (thrown) {
            if (fileErrorCode(thrown) !== 'ENOENT') throw thrown;
          }
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
    attach: (disk) =>
      guarded(disk, 'attach', async () => {
        requireOurs(disk);
        await stat(extentOf(disk));
        return { kind: 'folder-file', datastore, file: extentFile(disk.disk) };
      }),
    // Hosts reach the folder all the time: the attachment record alone decides who may open the disk.
    detach: async () => undefined,
  };
}
