import { chmod, chown, mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from '../../lib/errors.ts';
import type { Grant } from '../api.ts';
import type { BlockOptions } from '../types.ts';
import type { Filesystems } from './filesystems.ts';
import type { Guard } from './guard-port.ts';
import { decideFormat } from './superblock.ts';

/** A disk that was just opened. */
export interface OpenedDisk {
  readonly device: string;
  readonly mountpoint: string;
  readonly lease: string;
  readonly grant: Grant;
}

/** Brings a disk to where its file system can be mounted. */
export interface DiskPreparation {
  /**
   * Makes the file system, checks it, or gives a copied one its own UUID. Whatever was begun before can be gone on with.
   * @throws VolumeError `invalid` when the disk holds something else, which is left alone.
   */
  prepare(disk: OpenedDisk, signal: AbortSignal): Promise<void>;
}

/** Makes the root of a new file system what the user asked for, and empty, so that the engine copies content into it. */
export async function prepareRoot(path: string, options: BlockOptions): Promise<void> {
  await rmdir(join(path, 'lost+found')).catch(() => undefined);
  if (options.uid !== undefined || options.gid !== undefined) {
    await chown(path, options.uid ?? 0, options.gid ?? 0);
  }
  if (options.mode !== undefined) await chmod(path, options.mode);
}

/** With this host's tools, under the guard. */
export function createDiskPreparation({
  filesystems,
  guard,
}: {
  filesystems: Filesystems;
  guard: Pick<Guard, 'protect' | 'release' | 'shutdown'>;
}): DiskPreparation {
  /** xfs replays its log only when it is mounted, and changes no UUID before. */
  const replayLog = async ({ device, mountpoint, lease }: OpenedDisk, fstype: string): Promise<void> => {
    const mount = { device, mountpoint };
    await mkdir(mountpoint, { recursive: true });
    await guard.protect(mount, lease);
    try {
      await filesystems.mount(device, mountpoint, fstype, false);
      await guard.protect(mount, lease);
      if (!(await filesystems.unmount(mountpoint))) {
        await guard.shutdown(mount);
        await filesystems.unmountLazily(mount);
        throw new VolumeError('busy', `something holds ${mountpoint}`);
      }
    } finally {
      await guard.release(mountpoint);
    }
  };

  const takeOverCopy = async (disk: OpenedDisk, inherits: readonly string[], signal: AbortSignal) => {
    const { options, fsUuid } = disk.grant.record;
    const { fstype } = options;
    const found = await filesystems.look(disk.device);
    if (found?.fstype !== fstype || ![fsUuid, ...inherits].includes(found.uuid)) {
      throw new VolumeError(
        'invalid',
        'the disk does not hold the file system that it is a copy of; it was left alone',
      );
    }
    await filesystems.check(disk.device, fstype, signal);
    if (found.uuid === fsUuid) return;
    if (fstype === 'xfs') await replayLog(disk, fstype);
    signal.throwIfAborted();
    await filesystems.giveUuid(disk.device, { fstype, uuid: fsUuid }, signal);
  };

  return {
    async prepare(disk, signal) {
      const { device, grant } = disk;
      const { options, fsUuid, formatted, inherits } = grant.record;
      if (formatted) {
        if (!grant.clean) await filesystems.check(device, options.fstype, signal);
        return;
      }
      if (inherits) return await takeOverCopy(disk, inherits, signal);
      const found = await filesystems.look(device);
      const decision = decideFormat(found, { fstype: options.fstype, uuid: fsUuid });
      if (decision.do === 'refuse') throw new VolumeError('invalid', decision.why);
      if (decision.do === 'make') {
        await filesystems.make(
          device,
          { fstype: options.fstype, uuid: fsUuid, blank: found === undefined },
          signal,
        );
      } else {
        await filesystems.check(device, options.fstype, signal);
      }
    },
  };
}
