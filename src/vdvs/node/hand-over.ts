import { existsSync, type FSWatcher, unlinkSync, watch } from 'node:fs';
import { rm } from 'node:fs/promises';
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

/**
 * A container with a deferred volume makes a file of this name in the root of the disk and keeps it open: when the last process
 * that has it open has ended, however that came, the disk is given back as with `handOverFile`. The name is taken away at once:
 * the kernel tells of a file's end only when it has none.
 */
export const inUseFile = '.vdvs-in-use';

/** Made beforehand, it says that the end of `inUseFile` means nothing: the disk goes back when the engine asks for it. */
export const keepFile = '.vdvs-keep';

/** Disks of deferred volumes that their containers have no more use for. */
export interface HandOvers {
  /**
   * From now on a container may have this disk given back before the engine asks for that, by `handOverFile` and `inUseFile` in
   * its root. It sees the placeholder again; until another container comes, this host does not ask for the disk.
   */
  follow(mount: LiveMount): void;
  /**
   * As `follow`, for a mount of an earlier process: its container may have asked while there was none. The end of an
   * `inUseFile` that the earlier process knew is not seen any more.
   */
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
  /** Of each volume its root, and the file that is in use. */
  const followed = new Map<string, FSWatcher[]>();

  const unfollow = (key: string): void => {
    for (const watcher of followed.get(key) ?? []) watcher.close();
    followed.delete(key);
  };

  /** The mount that is followed, as long as it is what is there. */
  const current = (id: VolumeId, epoch: number): LiveMount | undefined => {
    const mount = table.get(id);
    return mount?.epoch === epoch ? mount : undefined;
  };

  /** Removes a file. @returns whether it was there. */
  const take = (file: string): Promise<boolean> =>
    rm(file).then(
      () => true,
      () => false,
    );

  /**
   * In the volume's turn: its last container may have ended meanwhile, or another have come.
   * @param ended whether the processes that used the disk have ended; else it has to be asked for.
   */
  const handOver = async (id: VolumeId, epoch: number, ended: boolean): Promise<void> => {
    const key = renderVolumeName(id);
    const mount = current(id, epoch);
    if (!mount) return unfollow(key);
    const asked = await take(join(mount.mountpoint, handOverFile));
    if (!asked && (!ended || (await take(join(mount.mountpoint, keepFile))))) return;
    const users = Object.keys(mount.ids);
    // Who else uses it was not asked.
    if (users.length > 1)
      return log.info('not handed over: others use it', { volume: key, users: users.length });
    unfollow(key);
    await volumes.handOver(mount);
    await table.put({ ...withoutDisk(mount), over: users });
    log.info(asked ? 'handed over, as its container asked' : 'handed over: its container has ended', {
      volume: key,
    });
  };

  const look = ({ datastore, name }: VolumeId, epoch: number, ended = false): void => {
    const id = { datastore, name };
    const key = renderVolumeName(id);
    if (!current(id, epoch)) {
      unfollow(key);
      return;
    }
    queue
      .run(key, () => handOver(id, epoch, ended))
      .catch((thrown) => log.warn('not handed over', { volume: key, error: toVolumeError(thrown).message }));
  };

  /** Waits for the end of the file that a container has in use. One that was there before it says nothing: it may be an earlier one's. */
  const followUse = ({ datastore, name, epoch, mountpoint }: LiveMount): void => {
    const id = { datastore, name };
    const file = join(mountpoint, inUseFile);
    try {
      const watcher = watch(file, { persistent: false });
      followed.get(renderVolumeName(id))?.push(watcher);
      watcher.on('error', () => watcher.close());
      watcher.on('change', (event) => {
        // What changes in it, and the loss of its name, are no end.
        if (event !== 'rename') return;
        watcher.close();
        look(id, epoch, true);
      });
      unlinkSync(file);
    } catch (thrown) {
      // The disk goes back when the engine asks for it.
      log.debug('no file in use followed', { file, error: String(thrown) });
    }
  };

  const follow = (mount: LiveMount): void => {
    const { datastore, name, epoch, mountpoint } = mount;
    const id = { datastore, name };
    const key = renderVolumeName(id);
    unfollow(key);
    try {
      const watcher = watch(mountpoint, { persistent: false });
      // The end of the file system is told as a change too: then there is no such mount any more.
      watcher.on('change', (_event, file) => {
        if (file === handOverFile || !current(id, epoch)) return look(id, epoch);
        if (file === inUseFile && existsSync(join(mountpoint, inUseFile))) followUse(mount);
      });
      watcher.on('error', () => unfollow(key));
      followed.set(key, [watcher]);
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
