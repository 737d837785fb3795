import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { KeyedQueue } from '../../lib/keyed-queue.ts';
import type { Log } from '../../lib/log.ts';
import type { MountEntry } from '../../lib/mountinfo.ts';
import type { EngineContainers } from '../../swarm/swarm.ts';
import { renderVolumeName } from '../names.ts';
import type { ServiceClient } from '../service-client.ts';
import type { VolumeId } from '../types.ts';
import type { BlockVolumes } from './block-volumes.ts';
import type { Deferred } from './deferred.ts';
import type { DiskMount } from './disk-mounts.ts';
import { type EndUse, withoutDisk } from './end-use.ts';
import type { Grants } from './grants.ts';
import type { LoopDevices } from './loop-devices.ts';
import { endInherited, isLive, type MountTable, type VolumeUse } from './mount-table.ts';
import { disksBelow, isPlaceholder, mountsBelow } from './mountinfo.ts';
import type { Placeholders } from './placeholder.ts';

/** What putting things right needs. */
export interface ReconcilerParts {
  readonly client: ServiceClient;
  readonly volumes: BlockVolumes;
  readonly grants: Grants;
  readonly table: MountTable;
  readonly placeholders: Placeholders;
  readonly deferred: Deferred;
  readonly endUse: EndUse;
  readonly queue: KeyedQueue;
  readonly loops: LoopDevices;
  readonly engine: EngineContainers;
  readonly readMounts: () => Promise<MountEntry[]>;
  readonly nodeId: () => Promise<string>;
  readonly mountRoot: string;
  readonly datastores: ReadonlyMap<string, string>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Compares what is mounted, open, attached and used, and ends what nobody uses. */
export interface Reconciler {
  /**
   * Local part of the start, before any call is served: keeps what hangs on the kept lease and clears the rest away.
   * @param keptLease lease of the earlier life if it still is this node's.
   */
  recover(keptLease: string | undefined): Promise<void>;
  /** Ends every mount: its file system was shut down with the lease. */
  afterFence(): Promise<void>;
  /** What came of a call to the service for this volume is not known: find out and put it right. */
  uncertain(id: VolumeId): void;
  /** Works until the signal ends it. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * ms between two rounds, shorter while it is not known whether the containers of a mount have died with the engine: others
 * may wait for its disk. And looks at the engine before such a mount counts as unused.
 */
const times = { roundMs: 5_000, doubtMs: 1_000, looks: 2 } as const;

/** See `Reconciler`. */
export function createReconciler(parts: ReconcilerParts): Reconciler {
  const { client, volumes, table, placeholders, deferred, endUse, queue, loops, clock, log } = parts;
  const doubtful = new Map<string, VolumeId>();
  const unusedLooks = new Map<string, number>();

  const clear = async (mount: DiskMount, why: string, act: () => Promise<unknown>) => {
    log.warn('clearing a mount away', { mountpoint: mount.mountpoint, device: mount.device, why });
    await act().catch((thrown) => {
      log.error('mount not cleared away', {
        mountpoint: mount.mountpoint,
        error: toVolumeError(thrown).message,
      });
    });
  };

  /** Gives back an attachment of this node that nothing here uses. */
  const settle = (id: VolumeId) =>
    queue.run(renderVolumeName(id), async () => {
      const use = table.use(id);
      if (use) {
        if (Object.keys(use.ids).length === 0) await endUse.close(use);
        return;
      }
      // Whoever asks gives back what comes of it, and says when that is not known.
      if (deferred.asking(id)) return;
      const held = (await client.get(id))?.attached;
      if (held && held.node === (await parts.nodeId())) await parts.grants.giveBack(id, held.epoch, false);
    });

  const settleDoubtful = async () => {
    for (const [key, id] of [...doubtful]) {
      doubtful.delete(key);
      await settle(id).catch((thrown) => {
        doubtful.set(key, id);
        log.debug('not settled yet', { volume: key, error: toVolumeError(thrown).message });
      });
    }
  };

  const inheritedUses = () => table.uses().filter((use) => use.inherited.size > 0);

  /** Mount IDs of an earlier life whose containers are gone. */
  const dropUnused = async () => {
    const inherited = inheritedUses();
    if (inherited.length === 0) return;
    const used = new Set((await parts.engine.volumesInUse()).map(({ volume }) => volume));
    for (const mount of inherited) {
      const key = renderVolumeName(mount);
      // Without its datastore the name may have meant another one when it was mounted.
      const looks = used.has(key) || used.has(mount.name) ? 0 : (unusedLooks.get(key) ?? 0) + 1;
      unusedLooks.set(key, looks);
      // Once could be a container on its way up.
      if (looks >= times.looks) await queue.run(key, () => drop(mount));
    }
  };

  const drop = async (seen: VolumeUse) => {
    // Its disk may have come or gone since.
    const use = table.use(seen);
    if (use?.inherited !== seen.inherited) return;
    log.info('no container uses the volume any more', { volume: renderVolumeName(use) });
    endInherited(use);
    await table.put(use);
    if (Object.keys(use.ids).length === 0) await endUse.close(use);
  };

  /** Of the placeholders, those of containers that may live stay. */
  const recoverPlaceholders = async () => {
    const entries = mountsBelow(await parts.readMounts(), parts.mountRoot).filter(isPlaceholder);
    const places = new Set(entries.map(({ mountPoint }) => mountPoint));
    for (const use of table.uses()) {
      // Without it the containers that had it see nothing of what is mounted here, ever.
      if (!isLive(use) && !places.has(use.mountpoint)) await table.delete(use);
    }
    const used = new Set(table.uses().map(({ mountpoint }) => mountpoint));
    for (const place of places) if (!used.has(place)) await placeholders.remove(place);
  };

  const findOwn = async () => {
    const self = await parts.nodeId();
    for (const { record, attached } of await client.list()) {
      if (attached?.node === self && !table.get(record)) doubtful.set(renderVolumeName(record), record);
    }
  };

  return {
    async recover(keptLease) {
      const entries = disksBelow(await parts.readMounts(), parts.mountRoot);
      const kept = new Set<string>();
      for (const mount of table.all()) {
        const there = entries.some(
          (one) => one.mountPoint === mount.mountpoint && one.source === mount.device,
        );
        if (there && keptLease !== undefined && mount.lease === keptLease) {
          kept.add(mount.device);
          log.info('kept', { volume: renderVolumeName(mount), device: mount.device });
          continue;
        }
        // Not mounted any more, its device may be somebody else's by now.
        if (there) await clear(mount, 'its lease is gone', () => volumes.release(mount));
        if (mount.deferred) await table.put(withoutDisk(mount));
        else await table.delete(mount);
      }
      for (const { mountPoint, source } of entries) {
        if (kept.has(source) || table.all().some((mount) => mount.mountpoint === mountPoint)) continue;
        const unknown = { mountpoint: mountPoint, device: source };
        await clear(unknown, 'nothing is known of it', () => volumes.retire(unknown));
      }
      for (const folder of parts.datastores.values()) {
        for (const loop of await loops.list(folder)) {
          if (!kept.has(loop.device)) await loops.close(loop);
        }
      }
      await recoverPlaceholders();
    },

    async afterFence() {
      await Promise.all(
        table.all().map((mount) =>
          queue.run(renderVolumeName(mount), async () => {
            if (table.get(mount) !== mount) return;
            await clear(mount, 'the lease was lost', () => volumes.release(mount));
            await endUse.diskGone(mount);
          }),
        ),
      );
    },

    uncertain(id) {
      doubtful.set(renderVolumeName(id), id);
    },

    async run(signal) {
      let listed = false;
      while (!signal.aborted) {
        try {
          if (!listed) {
            await findOwn();
            listed = true;
          }
          for (const use of table.uses()) {
            if (Object.keys(use.ids).length === 0) doubtful.set(renderVolumeName(use), use);
          }
          await settleDoubtful();
          await dropUnused();
        } catch (thrown) {
          log.debug('reconciliation waits', { error: toVolumeError(thrown).message });
        }
        // The engine knows a container for those with no look in vain.
        const doubt = inheritedUses().some((use) => unusedLooks.get(renderVolumeName(use)) !== 0);
        await clock.sleep(doubt ? times.doubtMs : times.roundMs, signal).catch(() => undefined);
      }
    },
  };
}
