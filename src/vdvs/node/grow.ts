import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { KeyedQueue } from '../../lib/keyed-queue.ts';
import type { Log } from '../../lib/log.ts';
import { mountHolding, ownMounts } from '../../lib/mountinfo.ts';
import type { GrowClient } from '../disk-clients.ts';
import { renderVolumeName } from '../names.ts';
import type { Filesystems } from './filesystems.ts';
import type { LoopDevices } from './loop-devices.ts';
import type { LiveMount, MountTable } from './mount-table.ts';

/**
 * Lets device and file system of a mounted volume follow its disk, and says so to the service. May be done again at any
 * time.
 * @throws VolumeError `unavailable` while it is mounted read-only: the next mount does it.
 */
export type GrowMount = (mount: LiveMount, sizeBytes: number) => Promise<void>;

/** ms: the service answers after this long without work; pauses after work that failed, and while it cannot be reached. */
const times = { waitMs: 25_000, failedMs: 30_000, unreachableMs: 5_000 } as const;

/** Growing with this host's tools. */
export function createGrowMount(parts: {
  loops: LoopDevices;
  filesystems: Filesystems;
  client: GrowClient;
  log: Log;
}): GrowMount {
  const { loops, filesystems, client, log } = parts;
  return async (mount, sizeBytes) => {
    const entries = await ownMounts();
    if (mountHolding(entries, mount.mountpoint)?.options.includes('ro')) {
      throw new VolumeError('unavailable', 'mounted read-only: its file system grows with the next mount');
    }
    await loops.grow(mount.device, sizeBytes);
    await filesystems.grow(mount);
    log.info('file system grown', { volume: renderVolumeName(mount), sizeBytes });
    const { datastore, name } = mount;
    await client.grown({ datastore, name }, mount.epoch, sizeBytes);
  };
}

/** Asks the service for volumes to grow and grows them, until the signal ends it. */
export async function runGrowLoop(
  parts: {
    client: GrowClient;
    grow: GrowMount;
    table: MountTable;
    queue: KeyedQueue;
    clock: Clock;
    log: Log;
  },
  signal: AbortSignal,
): Promise<void> {
  const { client, grow, table, queue, clock, log } = parts;
  const growOne = async ({ volume, sizeBytes }: Awaited<ReturnType<GrowClient['tasks']>>[number]) =>
    await queue.run(renderVolumeName(volume), async () => {
      const mount = table.get(volume);
      // On its way up or down; a mount grows by itself.
      if (!mount) return false;
      try {
        await grow(mount, sizeBytes);
        return true;
      } catch (thrown) {
        const error = toVolumeError(thrown).message;
        log.warn('file system not grown yet', { volume: renderVolumeName(volume), error });
        return false;
      }
    });

  while (!signal.aborted) {
    let pauseMs = 0;
    try {
      const done = await Promise.all((await client.tasks(times.waitMs)).map(growOne));
      if (done.includes(false)) pauseMs = times.failedMs;
    } catch (thrown) {
      log.debug('asking for work', { error: toVolumeError(thrown).message });
      pauseMs = times.unreachableMs;
    }
    if (pauseMs > 0) await clock.sleep(pauseMs, signal).catch(() => undefined);
  }
}
