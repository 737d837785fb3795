import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { EngineContainers } from '../../swarm/swarm.ts';
import type { NodeMounts } from './node-mounts.ts';

/** Pauses in ms. */
export interface ReconcileTimes {
  /** Between two looks at the engine. */
  readonly everyMs: number;
  /** The same after a look that found nothing: others may wait for the volume to be free. It may have fallen between a container's mount and its start. */
  readonly doubtMs: number;
  /** So many looks in a row must find nothing that uses a volume. */
  readonly looks: number;
}

export const reconcileTimes: ReconcileTimes = Object.freeze({ everyMs: 5_000, doubtMs: 2_000, looks: 3 });

/**
 * Compares what an earlier plugin left on this node with what the engine runs, until nothing is left to compare: an engine
 * that crashed never sends some Unmounts, and a volume must not be in use for ever because of that. Mount IDs are not
 * container IDs, so a volume's uses end together, once no container has the volume. Whoever mounts through *this* process is
 * not looked at: `docker cp` uses a volume without a running container.
 *
 * The engine's API comes up after its plugins, so it is asked in the background, for as long as it takes.
 * @returns when there is nothing left to do, or the signal was aborted. Never rejects.
 */
export async function reconcileInherited(parts: {
  mounts: NodeMounts;
  engine: EngineContainers;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  times?: ReconcileTimes;
}): Promise<void> {
  const { mounts, engine, clock, log, signal, times = reconcileTimes } = parts;
  const unused = new Map<string, number>();
  while (!signal.aborted && mounts.inheritedVolumes().length > 0) {
    try {
      const running = await engine.volumesInUse();
      for (const volume of mounts.inheritedVolumes()) {
        // Whatever the driver is called here: sparing one volume too many does no harm.
        const containers = running.filter((use) => use.volume === volume).map((use) => use.containerId);
        const looks = containers.length > 0 ? 0 : (unused.get(volume) ?? 0) + 1;
        unused.set(volume, looks);
        if (containers.length > 0) await mounts.standInFor(volume, containers);
        else if (looks >= times.looks) await mounts.dropInherited(volume);
      }
    } catch (thrown) {
      log.info('comparing mounts with the engine: later', { error: toVolumeError(thrown).message });
    }
    const doubt = mounts.inheritedVolumes().some((volume) => (unused.get(volume) ?? 0) > 0);
    await clock.sleep(doubt ? times.doubtMs : times.everyMs, signal).catch(() => undefined);
  }
}
