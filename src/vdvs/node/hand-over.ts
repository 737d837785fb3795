import { type FSWatcher, watch } from 'node:fs';
import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toVolumeError } from '../../lib/errors.ts';
import type { KeyedQueue } from '../../lib/keyed-queue.ts';
import type { Log } from '../../lib/log.ts';
import { renderVolumeName } from '../names.ts';
import type { VolumeId } from '../types.ts';
import type { BlockVolumes } from './block-volumes.ts';
import { withoutDisk } from './end-use.ts';
import type { LiveMount, MountTable } from './mount-table.ts';

/**
 * A container with a deferred volume makes a file of this name in the root of the disk when it has no more use for it: the disk
 * is given back at once, and need not wait until the engine has taken the container apart.
 */
export const handOverFile = '.vdvs-hand-over';

/** Disks of deferred volumes that their containers have no more use for. */
export interface HandOvers {
  /**
   * From now on a container may have this disk given back before it ends itself, by making `handOverFile` in its root. It sees the
   * placeholder again; until another container comes, this host does not ask for the disk.
   */
  follow(mount: LiveMount): void;
  /** As `follow`, for a mount of an earlier process: its container may have asked while there was none. */
  resume(mount: LiveMount): void;
  stop(): void;
}

/** What handing over needs. */
export interface HandOverParts {
  readonly volumes: Pick<BlockVolumes, 'handOver'>;
  readonly table: MountTable;
  readonly queue: KeyedQueue;
  readonly log: Log;
}

/** By the kernel's word of changes in the disks' roots. */
export function createHandOvers({ volumes, table, queue, log }: HandOverParts): HandOvers {
  const followed = new Map<string, FSWatcher>();

  const unfollow = (key: string): void => {
    followed.get(key)?.close();
    followed.delete(key);
  };

  /** The mount that is followed, as long as it is what is there. */
  const current = (id: VolumeId, epoch: number): LiveMount | undefined => {
    const mount = table.get(id);
    return mount?.epoch === epoch ? mount : undefined;
  };

  /** In the volume's turn: its last container may have ended meanwhile, or another have come. */
  const handOver = async (id: VolumeId, epoch: number): Promise<void> => {
    const key = renderVolumeName(id);
    const mount = current(id, epoch);
    if (!mount) return unfollow(key);
    const file = join(mount.mountpoint, handOverFile);
    const asked = await access(file).then(
      () => true,
      () => false,
    );
    if (!asked) return;
    await rm(file, { force: true });
    const users = Object.keys(mount.ids);
    // Who else uses it was not asked.
    if (users.length > 1)
      return log.info('not handed over: others use it', { volume: key, users: users.length });
    unfollow(key);
    await volumes.handOver(mount);
    await table.put({ ...withoutDisk(mount), over: users });
    log.info('handed over, as its container asked', { volume: key });
  };

  const look = ({ datastore, name }: VolumeId, epoch: number): void => {
    const id = { datastore, name };
    const key = renderVolumeName(id);
    if (!current(id, epoch)) {
      unfollow(key);
      return;
    }
    queue
      .run(key, () => handOver(id, epoch))
      .catch((thrown) => log.warn('not handed over', { volume: key, error: toVolumeError(thrown).message }));
  };

  const follow = ({ datastore, name, epoch, mountpoint }: LiveMount): void => {
    const id = { datastore, name };
    const key = renderVolumeName(id);
    unfollow(key);
    try {
      const watcher = watch(mountpoint, { persistent: false });
      // The end of the file system is told as a change too: then there is no such mount any more.
      watcher.on('change', (_event, file) => {
        if (file === handOverFile || !current(id, epoch)) look(id, epoch);
      });
      watcher.on('error', () => unfollow(key));
      followed.set(key, watcher);
    } catch (thrown) {
      // The disk goes back when the container has ended, which is only later.
      log.debug('root not watched', { volume: key, error: String(thrown) });
    }
  };

  return {
    follow,
    resume(mount) {
      follow(mount);
      look(mount, mount.epoch);
    },
    stop() {
      for (const key of [...followed.keys()]) unfollow(key);
    },
  };
}
