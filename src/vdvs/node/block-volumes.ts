import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { FailurePoint } from '../../lib/failure-point.ts';
import type { Log } from '../../lib/log.ts';
import type { MountEntry } from '../../lib/mountinfo.ts';
import type { Grant } from '../api.ts';
import { renderVolumeName } from '../names.ts';
import type { ServiceClient } from '../service-client.ts';
import type { VolumeId } from '../types.ts';
import { createDiskMounts, type DiskMount } from './disk-mounts.ts';
import type { Filesystems } from './filesystems.ts';
import type { Grants } from './grants.ts';
import type { GrowMount } from './grow.ts';
import type { Guard } from './guard-port.ts';
import { whileHeld } from './held-device.ts';
import type { LoopDevice, LoopDevices } from './loop-devices.ts';
import type { LiveMount } from './mount-table.ts';
import { createDiskPreparation, prepareRoot } from './prepare-disk.ts';
import type { ReleaseNotes } from './release-notes.ts';

/** What opening and closing volumes needs. */
export interface BlockVolumeParts {
  readonly client: Pick<ServiceClient, 'formatted'>;
  readonly grants: Grants;
  readonly guard: Guard;
  readonly loops: LoopDevices;
  readonly filesystems: Filesystems;
  readonly releaseNotes: ReleaseNotes;
  readonly grow: GrowMount;
  /** Where volumes are mounted: `<mountRoot>/<datastore>/<name>`. */
  readonly mountRoot: string;
  readonly readMounts: () => Promise<MountEntry[]>;
  /** Folders of the datastores on this host. */
  readonly datastores: ReadonlyMap<string, string>;
  /** Told when the service may hold the volume for this node without use. */
  readonly onUncertain: (id: VolumeId) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly failAt?: FailurePoint;
}

/** A volume, what the service says of it, and the lease of this node that it is attached under. */
export interface Granted {
  readonly id: VolumeId;
  readonly lease: string;
  readonly grant: Grant;
}

/** From a record to a mounted file system and back. Not for two calls on one volume at once. */
export interface BlockVolumes {
  mountpoint(id: VolumeId): string;
  /** Whether it can be used on: mounted, and the lease that it hangs on is still this node's. */
  usable(mount: LiveMount): Promise<boolean>;
  /**
   * Attaches, makes or checks the file system, mounts. A failure undoes what was done.
   * @param signal aborted when the lease is lost: nothing may be written to the disk any more.
   */
  open(id: VolumeId, attachMs: number, signal: AbortSignal): Promise<LiveMount>;
  /**
   * As `open`, on top of a placeholder and with what the service has granted already. Containers see the mount point: the
   * disk appears there only when it is as its users shall see it.
   * @param note called just before: from then on containers may use the disk, whatever becomes of this process.
   */
  openGranted(
    granted: Granted,
    note: (mount: LiveMount) => Promise<void>,
    signal: AbortSignal,
  ): Promise<LiveMount>;
  /** Unmounts and gives the attachment back; forces what does not end. */
  close(mount: LiveMount): Promise<void>;
  /**
   * As `close`, while containers still use it: what they have written so far is kept, from then on nothing can be
   * written, also not by those that have the mount in a name space of their own.
   */
  abandon(mount: LiveMount): Promise<void>;
  /**
   * As `close`, for a deferred mount that containers still use: they see the placeholder again, and so know that they have
   * to end what they do with the disk. Those that do so in time are told of no error and lose nothing; then `abandon`.
   */
  handOver(mount: LiveMount): Promise<void>;
  /** See `DiskMounts.retire`: for a mount that was shut down or whose attachment is not ours any more. */
  retire(mount: DiskMount): Promise<boolean>;
  /** As `retire`, and says in the datastore that the disk is let go of: the managers may be out of reach. */
  release(mount: LiveMount): Promise<void>;
}

/** ms: for a lease to be there, for users of a mount to end, and for those that see its placeholder again. */
const times = { leaseMs: 20_000, busyMs: 15_000, handOverMs: 3_000 } as const;

/** Volumes on this host, by its loop devices and file system tools. */
export function createBlockVolumes(parts: BlockVolumeParts): BlockVolumes {
  const { client, grants, guard, loops, filesystems, log } = parts;

  const preparation = createDiskPreparation(parts);
  const { isMounted, unmount, retire } = createDiskMounts(parts);

  const mountpointOf = (id: VolumeId) => join(parts.mountRoot, id.datastore, id.name);

  /** Out of the sight of containers, and below the root, where guard and reconciliation look for mounts. */
  const asideOf = (id: VolumeId) => join(parts.mountRoot, '.preparing', id.datastore, id.name);

  /** To be asked while the disk is mounted. One that has no file has been let go of. */
  const deviceOf = ({ device, file }: LiveMount): LoopDevice => ({
    device,
    file: file ?? loops.fileOf(device) ?? '',
  });

  /**
   * Gives back what was mounted here. When the managers are out of reach until the lease is lost, whoever waits for the disk hears
   * of it in the datastore. Not before: a service that has not heard of it may grant the same attachment again under the same lease.
   * @param gone whether nothing here can write to the disk any more.
   */
  const giveBack = async (mount: LiveMount, gone: boolean, clean: boolean): Promise<void> => {
    const given = grants.giveBack(mount, mount.epoch, clean);
    const { releaseNote, lease } = mount;
    if (gone && releaseNote !== undefined) {
      const loss = guard.lossOf(lease);
      const over = new AbortController();
      const lost = new Promise<'lost'>((resolve) => {
        if (loss.aborted) resolve('lost');
        loss.addEventListener('abort', () => resolve('lost'), { signal: over.signal });
      });
      if ((await Promise.race([given, lost])) === 'lost') await parts.releaseNotes.write(releaseNote);
      over.abort();
    }
    await given;
  };

  /**
   * Something outside this plugin's sight still holds the file system: stop it from writing.
   * @returns whether that was so still, and so nothing ended in peace; and whether nothing here can write any more.
   */
  const shutDownHidden = async (
    mount: LiveMount,
    loop: LoopDevice,
  ): Promise<{ hidden: boolean; gone: boolean }> => {
    const hidden = await whileHeld(loop.device, async (held) => {
      // With its last user it goes, and then this may be another disk, which is not to be shut down.
      if (loops.fileOf(loop.device) !== loop.file) return false;
      log.warn('file system is still held after unmount, shutting it down', {
        volume: renderVolumeName(mount),
      });
      await filesystems.mount(loop.device, mount.mountpoint, mount.fstype, false, held);
      return true;
    });
    if (hidden) return { hidden, gone: await retire({ ...mount, ...loop }) };
    await guard.release(mount.mountpoint);
    return { hidden, gone: true };
  };

  const closeDevice = async (loop: LoopDevice): Promise<boolean> => {
    parts.failAt?.('unmount.unmounted');
    const closed = await loops.close(loop);
    parts.failAt?.('detach.closed');
    return closed;
  };

  const requireFree = async (mountpoint: string): Promise<void> => {
    await mkdir(mountpoint, { recursive: true });
    if (!(await isMounted(mountpoint))) return;
    throw new VolumeError('internal', `something is mounted at ${mountpoint} already`);
  };

  const mountDevice = async (
    grant: Grant,
    mount: LiveMount,
    signal: AbortSignal,
    free = requireFree(mount.mountpoint),
  ): Promise<void> => {
    const { options, formatted, growing } = grant.record;
    // Before its users may see it as it should be, something has to be written.
    const unfinished = !formatted || growing === true;
    const readOnly = options.access === 'read-only';
    await free;
    await guard.protect(mount, mount.lease);
    try {
      await filesystems.mount(mount.device, mount.mountpoint, options.fstype, readOnly && !unfinished);
      await guard.protect(mount, mount.lease);
      parts.failAt?.('mount.mounted');
      if (!formatted) {
        await prepareRoot(mount.mountpoint, options);
        await filesystems.sync(mount.mountpoint);
        await client.formatted({ datastore: mount.datastore, name: mount.name }, grant.epoch);
        parts.failAt?.('mount.formatted');
      }
      if (growing) {
        await parts.grow(mount, options.sizeBytes).catch((thrown) =>
          // It can be used as it is, and the next mount tries again.
          log.warn('file system not grown', {
            volume: renderVolumeName(mount),
            error: toVolumeError(thrown).message,
          }),
        );
      }
      if (readOnly && unfinished) await filesystems.remountReadOnly(mount.mountpoint);
      signal.throwIfAborted();
    } catch (thrown) {
      await retire(mount);
      throw thrown;
    }
  };

  /** All that has to be written before containers see it; then it is taken away again. */
  const finishAside = async (grant: Grant, mount: LiveMount, signal: AbortSignal): Promise<void> => {
    await mountDevice(grant, mount, signal);
    if (!(await unmount(mount, times.busyMs))) {
      await retire(mount);
      throw new VolumeError('busy', `something holds ${mount.mountpoint}`);
    }
    await guard.release(mount.mountpoint);
    await rmdir(mount.mountpoint).catch(() => undefined);
  };

  const useGrant = async (
    { id, lease, grant }: Granted,
    signal: AbortSignal,
    note?: (mount: LiveMount) => Promise<void>,
  ): Promise<LiveMount> => {
    const folder = parts.datastores.get(grant.location.datastore);
    if (folder === undefined) {
      throw new VolumeError('invalid', `datastore ${grant.location.datastore} has no folder on this host`);
    }
    // Beside the other program that has to be started.
    const free = note ? undefined : requireFree(mountpointOf(id));
    free?.catch(() => undefined);
    const { file, releaseNote } = grant.location;
    const loop = await loops.open(join(folder, file));
    try {
      parts.failAt?.('attach.opened');
      const aside = note ? asideOf(id) : mountpointOf(id);
      await preparation.prepare({ ...loop, mountpoint: aside, lease, grant }, signal);
      parts.failAt?.('format.made');
      signal.throwIfAborted();
      const mount: LiveMount = {
        ...id,
        epoch: grant.epoch,
        lease,
        ...loop,
        mountpoint: mountpointOf(id),
        fstype: grant.record.options.fstype,
        ...(releaseNote === undefined ? {} : { releaseNote: join(folder, releaseNote) }),
        ids: {},
        inherited: new Map(),
      };
      if (!note) {
        await mountDevice(grant, mount, signal, free);
        return mount;
      }
      const { formatted, growing } = grant.record;
      if (!formatted || growing) await finishAside(grant, { ...mount, mountpoint: aside }, signal);
      const finished: Grant = { ...grant, record: { ...grant.record, formatted: true, growing: false } };
      await note(mount);
      parts.failAt?.('deferred.noted');
      await mountDevice(finished, mount, signal);
      return mount;
    } catch (thrown) {
      await loops.close(loop);
      throw thrown;
    }
  };

  const openGranted = async (
    granted: Granted,
    signal: AbortSignal,
    note?: (mount: LiveMount) => Promise<void>,
  ): Promise<LiveMount> => {
    const { id, grant } = granted;
    try {
      return await useGrant(granted, signal, note);
    } catch (thrown) {
      await grants.giveBack(id, grant.epoch, false);
      const error = toVolumeError(thrown);
      throw new VolumeError(error.code, `volume ${renderVolumeName(id)}: ${error.message}`, {
        cause: thrown,
      });
    }
  };

  return {
    mountpoint: mountpointOf,
    openGranted: (granted, note, signal) => openGranted(granted, signal, note),
    async usable(mount) {
      if (!(await isMounted(mount.mountpoint))) return false;
      // The guard gives up a lease before it shuts anything down: who asks later is told.
      return await guard.protect(mount, mount.lease).then(
        () => true,
        () => false,
      );
    },
    retire,
    async release(mount) {
      const gone = await retire(mount);
      if (gone && mount.releaseNote !== undefined) await parts.releaseNotes.write(mount.releaseNote);
    },
    async open(id, attachMs, signal) {
      const lease = await guard.lease(times.leaseMs);
      const grant = await grants.attach(id, lease, attachMs).catch((thrown) => {
        // It may have been granted all the same, and the answer lost.
        parts.onUncertain(id);
        throw thrown;
      });
      parts.failAt?.('attach.granted');
      return await openGranted({ id, lease, grant }, signal);
    },
    async abandon(mount) {
      await filesystems.sync(mount.mountpoint).catch(() => undefined);
      await giveBack(mount, await retire(mount), false);
    },
    async handOver(mount) {
      const loop = deviceOf(mount);
      let clean = await filesystems.sync(mount.mountpoint).then(
        () => true,
        () => false,
      );
      await filesystems.unmountLazily(mount);
      // The device goes with the last that has something open there, and with what that has written.
      let gone = await loops.close(loop, times.handOverMs);
      if (gone) {
        await guard.release(mount.mountpoint);
      } else {
        const ended = await shutDownHidden(mount, loop);
        clean &&= !ended.hidden;
        gone = ended.gone;
      }
      await giveBack(mount, gone, clean);
    },
    async close(mount) {
      const loop = deviceOf(mount);
      let clean = await filesystems.sync(mount.mountpoint).then(
        () => true,
        () => false,
      );
      let gone = true;
      if (!(await unmount(mount, times.busyMs))) {
        log.warn('mount is still in use, taking it away', { volume: renderVolumeName(mount) });
        clean = false;
        gone = await retire(mount);
      } else if (await closeDevice(loop)) {
        await guard.release(mount.mountpoint);
      } else {
        const ended = await shutDownHidden(mount, loop);
        clean &&= !ended.hidden;
        gone = ended.gone;
      }
      await rmdir(mount.mountpoint).catch(() => undefined);
      await giveBack(mount, gone, clean);
      parts.failAt?.('detach.done');
    },
  };
}
