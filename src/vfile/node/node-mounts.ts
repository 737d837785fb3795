import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { MountAttempts } from './mount-attempts.ts';
import { MountIds } from './mount-ids.ts';
import type { Mounter } from './nfs-mount.ts';
import { insist, type OwnRecords } from './own-record.ts';
import type { Retargeter } from './retarget.ts';
import { createVolumeLock } from './volume-lock.ts';
import type { VolumeView } from './volume-view.ts';

/** The volumes mounted on this node and who uses them. */
export interface NodeMounts {
  /**
   * Records the use, then mounts unless that is done. What failed leaves no trace, since the engine sends no Unmount then.
   * @returns the mount point. @throws VolumeError with what was waited for.
   */
  mount(volume: string, id: string): Promise<string>;
  /** Ends a use; the last one unmounts, and only then gives the record up: as long as it is there, a server serves. */
  unmount(volume: string, id: string): Promise<void>;
  /** The mount point, '' when not mounted. From memory. */
  path(volume: string): string;
  /** Volumes that somebody uses on this node. */
  usedVolumes(): string[];
  /** Volumes with uses that only an earlier process saw. */
  inheritedVolumes(): string[];
  /** The engine runs nothing with this volume: ends what an earlier process began. */
  dropInherited(volume: string): Promise<void>;
  /** The engine runs these containers with the volume: makes sure that somebody counts for them. */
  standInFor(volume: string, containerIds: readonly string[]): Promise<void>;
  /** Writes the record again if it is missing although the volume is used here. */
  ensureRecord(volume: string): Promise<void>;
  stop(): void;
}

/** What an earlier process left. */
export interface Inheritance {
  /** Volumes mounted now. */
  readonly mounted: readonly string[];
  /** Recorded uses by volume; those of before a reboot left out. */
  readonly ids: ReadonlyMap<string, Readonly<Record<string, number>>>;
}

/** Time limits in ms. */
export interface MountTimes {
  /** Mount, from the call to the answer; what it takes to roll back comes on top. */
  readonly mountMs: number;
  /** How long an Unmount waits for its turn. */
  readonly unmountTurnMs: number;
}

/**
 * Two locks per volume. `uses` guards the IDs and their record and is held briefly, or for a whole unmount. `kernel` is held
 * while a first mount waits for its server; every caller in there has its ID counted, so an unmount, which needs the count to
 * be zero, never meets one.
 */
export function createNodeMounts(parts: {
  mounter: Mounter;
  attempts: MountAttempts;
  retargeter: Pick<Retargeter, 'untrack'>;
  records: OwnRecords;
  view: VolumeView;
  clock: Clock;
  log: Log;
  times: MountTimes;
  inherited: Inheritance;
}): NodeMounts {
  const { mounter, attempts, retargeter, records, view, clock, log, times, inherited } = parts;
  const uses = createVolumeLock({ clock });
  const kernel = createVolumeLock({ clock });
  const stopped = new AbortController();
  const mounted = new Set(inherited.mounted);
  const idsByVolume = new Map<string, MountIds>(
    [...inherited.mounted, ...inherited.ids.keys()].map((volume) => [
      volume,
      new MountIds(inherited.ids.get(volume)),
    ]),
  );
  /** Mounted or recorded by an earlier process, with nobody counted yet. */
  const orphans = new Set(inherited.mounted.filter((volume) => !inherited.ids.has(volume)));

  const idsOf = (volume: string): MountIds => {
    const ids = idsByVolume.get(volume) ?? new MountIds();
    idsByVolume.set(volume, ids);
    return ids;
  };

  /** Brings the record up to what memory says, until it is. */
  const settleRecord = (volume: string): void => {
    const what = 'bringing the mount record up to date';
    void insist({ clock, log: log.child({ volume }), signal: stopped.signal, what }, () =>
      uses.run(volume, { what, timeoutMs: 60_000 }, () => records.write(volume, idsOf(volume))),
    );
  };

  /** Gives the record up; when etcd is out of reach, later. */
  const giveUpRecord = async (volume: string): Promise<void> => {
    try {
      await records.write(volume, idsOf(volume));
    } catch (thrown) {
      log.warn('mount record could not be removed yet', { volume, error: toVolumeError(thrown).message });
      settleRecord(volume);
    }
  };

  /** Under the `uses` lock, with nobody counted. */
  const detach = async (volume: string): Promise<void> => {
    const started = clock.monotonic();
    const outcome = await mounter.unmount(volume);
    mounted.delete(volume);
    orphans.delete(volume);
    if (outcome.how !== 'flushing') {
      retargeter.untrack(volume);
      await giveUpRecord(volume);
      log.info('unmounted', { volume, how: outcome.how, ms: Math.round(clock.monotonic() - started) });
      return;
    }
    void outcome.finished.then(async () => {
      await uses.run(volume, { what: 'the end of an unmount', timeoutMs: 600_000 }, async () => {
        if (!idsOf(volume).empty) return;
        log.info('unmounted, all data written back', { volume });
        retargeter.untrack(volume);
        await giveUpRecord(volume);
      });
    });
    throw new VolumeError(
      'timeout',
      `volume ${volume}: unmounted, but data is still being written back to a server that does not answer; the volume stays in use on this node until that is done`,
    );
  };

  return {
    async mount(volume, id) {
      const until = clock.monotonic() + times.mountMs;
      const left = () => Math.max(0, until - clock.monotonic());
      const what = `mount ${id}`;
      await uses.run(volume, { what, timeoutMs: left() }, async () => {
        idsOf(volume).add(id);
        try {
          await records.write(volume, idsOf(volume));
        } catch (thrown) {
          idsOf(volume).drop(id);
          // The write may have arrived although its answer did not.
          if (toVolumeError(thrown).retry) settleRecord(volume);
          throw thrown;
        }
      });
      orphans.delete(volume);
      try {
        await kernel.run(volume, { what, timeoutMs: left() }, () => attempts.ensure(volume, left));
        mounted.add(volume);
        return mounter.pathOf(volume);
      } catch (thrown) {
        await uses
          .run(volume, { what: `rolling back ${what}`, timeoutMs: 5_000 }, async () => {
            idsOf(volume).drop(id);
            await giveUpRecord(volume);
          })
          .catch((failed) =>
            log.error('could not roll back', { volume, error: toVolumeError(failed).message }),
          );
        throw thrown;
      }
    },

    async unmount(volume, id) {
      await uses.run(volume, { what: `unmount ${id}`, timeoutMs: times.unmountTurnMs }, async () => {
        const ids = idsOf(volume);
        if (!ids.drop(id)) log.warn('unmount of an ID that is not in use', { volume, id });
        if (ids.empty) await detach(volume);
        else await giveUpRecord(volume);
      });
    },

    path: (volume) => (mounted.has(volume) ? mounter.pathOf(volume) : ''),

    usedVolumes: () => [...idsByVolume].flatMap(([volume, ids]) => (ids.empty ? [] : [volume])),

    inheritedVolumes: () => [
      ...new Set([
        ...orphans,
        ...[...idsByVolume].flatMap(([volume, ids]) => (ids.inherited.length > 0 ? [volume] : [])),
      ]),
    ],

    async dropInherited(volume) {
      await uses.run(volume, { what: 'cleaning up', timeoutMs: times.unmountTurnMs }, async () => {
        const ids = idsOf(volume);
        log.info('nothing runs with this volume any more: ending what an earlier plugin began', {
          volume,
          ids: ids.inherited,
        });
        ids.dropInherited();
        if (ids.empty) await detach(volume);
        else await giveUpRecord(volume);
      });
    },

    async standInFor(volume, containerIds) {
      await uses.run(volume, { what: 'taking over', timeoutMs: times.unmountTurnMs }, async () => {
        orphans.delete(volume);
        const ids = idsOf(volume);
        if (!ids.empty) return;
        for (const containerId of containerIds) ids.addStandIn(containerId);
        log.info('containers run with a volume that nobody had recorded', { volume, ids: ids.inherited });
        await records.write(volume, ids);
      });
    },

    async ensureRecord(volume) {
      await uses.run(volume, { what: 'writing the record again', timeoutMs: 60_000 }, async () => {
        if (idsOf(volume).empty || !view.spec(volume)) return;
        await records.write(volume, idsOf(volume));
      });
    },

    stop: () => stopped.abort(),
  };
}
