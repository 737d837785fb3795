import { randomUUID } from 'node:crypto';
import { readFileSync, unlinkSync } from 'node:fs';
import { open, readFile, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from '../../../lib/errors.ts';
import { renderSize } from '../../sizes.ts';
import type { DatastoreBackend, Disk } from '../backend.ts';
import { fileErrorCode, publishFile, syncFolder, translateFileError, unlinkIfThere } from './folder-files.ts';
import { parseVmdkDescriptor, renderVmdkDescriptor } from './vmdk-descriptor.ts';

/** Zeroes are written in pieces of this size. */
const pieceBytes = 4 * 2 ** 20;

/** A datastore that is a folder which all hosts share. */
export interface FolderBackendOptions {
  readonly datastore: string;
  /** Absolute path of the folder on this host. */
  readonly path: string;
}

/**
 * Disks as files: a descriptor `<name>.vmdk` and a flat extent `<name>-flat.vmdk`. The descriptor holds the disk's
 * identity and comes first and goes last, so whoever finds it knows whose the name is. Files are made under a
 * temporary name and published complete.
 */
export function createFolderBackend({ datastore, path }: FolderBackendOptions): DatastoreBackend {
  const extentOf = (disk: Disk) => disk.disk.replace(/\.vmdk$/, '-flat.vmdk');
  const at = (file: string) => join(path, file);
  const temporary = () => at(`.creating-${randomUUID()}`);
  const describe = (disk: Disk) => `volume ${disk.id.name}@${datastore}`;

  const requireOurs = (disk: Disk, text: string) => {
    if (parseVmdkDescriptor(text)?.uuid === disk.uuid) return;
    throw new VolumeError(
      'exists',
      `${describe(disk)}: the datastore holds a disk ${disk.disk} that is not this volume's; it was left alone`,
    );
  };

  const writeDescriptor = async (disk: Disk) => {
    const name = temporary();
    const file = await open(name, 'wx', 0o600);
    try {
      await file.writeFile(
        renderVmdkDescriptor({ sizeBytes: disk.sizeBytes, extent: extentOf(disk), uuid: disk.uuid }),
      );
      await file.sync();
    } finally {
      await file.close();
    }
    await publishFile(name, at(disk.disk));
    requireOurs(disk, await readFile(at(disk.disk), 'utf8'));
  };

  const requireSpace = async (disk: Disk) => {
    const { bavail, bsize } = await statfs(path);
    if (disk.diskformat === 'thin' || bavail * bsize >= disk.sizeBytes) return;
    throw new VolumeError(
      'no_space',
      `${describe(disk)}: a ${disk.diskformat} disk of ${renderSize(disk.sizeBytes)} needs more than the ${renderSize(bavail * bsize)} that are free`,
    );
  };

  const writeExtent = async (disk: Disk) => {
    const existing = await stat(at(extentOf(disk))).catch((thrown) => {
      if (fileErrorCode(thrown) === 'ENOENT') return undefined;
      throw thrown;
    });
    // Published complete and under our descriptor: nothing is left to do.
    if (existing && existing.size >= disk.sizeBytes) return;
    if (existing) {
      throw new VolumeError(
        'exists',
        `${describe(disk)}: ${extentOf(disk)} exists and is smaller; it was left alone`,
      );
    }
    const name = temporary();
    const file = await open(name, 'wx', 0o600);
    try {
      if (disk.diskformat === 'thin') {
        await file.truncate(disk.sizeBytes);
      } else {
        // Allocation without writing is not to be had from here, so both thick formats are written.
        const zeroes = Buffer.alloc(pieceBytes);
        for (let done = 0; done < disk.sizeBytes; done += pieceBytes) {
          await file.write(zeroes, 0, Math.min(pieceBytes, disk.sizeBytes - done), done);
        }
      }
      await file.sync();
    } catch (thrown) {
      await unlinkIfThere(name);
      throw thrown;
    } finally {
      await file.close();
    }
    await publishFile(name, at(extentOf(disk)));
  };

  const guarded = async <T>(disk: Disk, what: string, act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (thrown) {
      throw translateFileError(thrown, `${describe(disk)}: ${what}`);
    }
  };

  return {
    diskPath: (name) => `${name}.vmdk`,
    unsupported(options) {
      if (options.cloneFrom !== undefined) return 'clone-from is not possible on a datastore folder yet';
      if (options.policy !== undefined) {
        return `storage policy "${options.policy}": a datastore folder has no storage policies`;
      }
      return undefined;
    },
    create: (disk) =>
      guarded(disk, 'create', async () => {
        await requireSpace(disk);
        await writeDescriptor(disk);
        try {
          await writeExtent(disk);
        } catch (thrown) {
          if (translateFileError(thrown, '').code === 'no_space') await unlinkIfThere(at(disk.disk));
          throw thrown;
        }
      }),
    remove: (disk) =>
      guarded(disk, 'remove', async () => {
        await stat(path);
        // Look and act in one turn of the event loop: a service that was stopped for long must not come back here and
        // delete the disk of a newer volume of the same name.
        try {
          requireOurs(disk, readFileSync(at(disk.disk), 'utf8'));
        } catch (thrown) {
          if (fileErrorCode(thrown) === 'ENOENT') return;
          throw thrown;
        }
        for (const file of [extentOf(disk), disk.disk]) {
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
          const { size, blocks } = await stat(at(extentOf(disk)));
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
        await stat(at(extentOf(disk)));
        return { kind: 'folder-file', datastore, file: extentOf(disk) };
      }),
    // Hosts reach the folder all the time: the attachment record alone decides who may open the disk.
    detach: async () => undefined,
  };
}
