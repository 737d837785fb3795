import type { Mirror } from '../../etcd/mirror.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { ServerRecord } from '../types.ts';
import type { Mounter } from './nfs-mount.ts';
import type { Retargeter } from './retarget.ts';
import type { VolumeView } from './volume-view.ts';

/** Brings a volume to be mounted. */
export interface MountAttempts {
  /**
   * Waits for a server and mounts from it, again and again until it works. Nothing when it is mounted.
   * @param left ms until the caller gives up
   * @throws VolumeError `timeout` with the reason that the volume's status gives; at once when no waiting can help.
   */
  ensure(volume: string, left: () => number): Promise<void>;
}

/** Time limits in ms. */
export interface AttemptTimes {
  /** One attempt; a server that published itself answers at once, so a longer wait only delays the next one. */
  readonly attemptMs: number;
  readonly firstPauseMs: number;
  readonly lastPauseMs: number;
}

export const attemptTimes: AttemptTimes = Object.freeze({
  attemptMs: 15_000,
  firstPauseMs: 100,
  lastPauseMs: 1_000,
});

/** Attempts with the kernel's NFS client. */
export function createMountAttempts(parts: {
  mounter: Mounter;
  retargeter: Pick<Retargeter, 'track' | 'tracks' | 'untrack'>;
  mirror: Mirror;
  view: VolumeView;
  clock: Clock;
  log: Log;
  /** Why waiting for a server may be in vain, beyond what the volume's status says; asked only when giving up. */
  explain: () => Promise<string>;
  /** Whether this node's kernel can re-target; where not, a mount without a known transport is all one can have. */
  canRetarget: () => boolean;
  times?: AttemptTimes;
}): MountAttempts {
  const { mounter, retargeter, mirror, view, clock, log, explain, canRetarget, times = attemptTimes } = parts;

  /** @throws VolumeError when no server will ever come. */
  const checkHope = (volume: string): void => {
    const spec = view.spec(volume);
    const status = view.status(volume);
    if (spec?.deleting) throw new VolumeError('busy', `volume ${volume} is being removed`);
    if (status?.state === 'Error' && !status.baseReady) {
      throw new VolumeError('unavailable', `volume ${volume} cannot be used: ${status.reason}`);
    }
  };

  const describe = (volume: string, trouble: string): string => {
    const status = view.status(volume);
    const said = status ? `${status.state}${status.reason ? `: ${status.reason}` : ''}` : 'not yet seen';
    return [
      `volume ${volume} could not be mounted in time`,
      trouble === '' ? 'no file server is ready' : trouble,
      `state as the manager tells it: ${said}`,
      ...(mirror.synced ? [] : [`etcd is out of reach: ${mirror.problem ?? 'unknown'}`]),
    ].join('; ');
  };

  const serverFor = async (volume: string, timeoutMs: number, trouble: string): Promise<ServerRecord> => {
    const began = view.status(volume)?.state;
    return await mirror.waitFor(
      () => {
        checkHope(volume);
        const server = view.server(volume);
        const state = view.status(volume)?.state;
        // The manager gave up on a server while this mount waited: what it says helps more than to wait on.
        if (!server && state === 'Error' && began !== 'Error') {
          throw new VolumeError('timeout', describe(volume, trouble));
        }
        return server;
      },
      { timeoutMs, describe: () => describe(volume, trouble) },
    );
  };

  /** One mount, called off when the server it goes to serves no more. */
  const attempt = async (volume: string, server: ServerRecord, timeoutMs: number): Promise<void> => {
    const changed = new AbortController();
    const unfollow = mirror.onChange(() => {
      const now = view.server(volume);
      if (now?.epoch !== server.epoch || now.instance !== server.instance) changed.abort();
    });
    try {
      // A mount that was detached lazily may still have a transport; this one would share it, so it must be aimed.
      await retargeter.track(volume, server.port);
      await mounter.mount({
        volume,
        address: server.address,
        port: server.port,
        timeoutMs,
        signal: changed.signal,
      });
    } finally {
      unfollow();
    }
    const found = await retargeter.track(volume, server.port);
    if (found > 0 || !canRetarget()) return;
    retargeter.untrack(volume);
    await mounter.unmount(volume);
    throw new VolumeError(
      'internal',
      `the kernel shows no transport to port ${server.port}: the mount could not follow a failover`,
    );
  };

  /** Whether it is mounted. A mount from another life of the name, with another port, is taken off. */
  const isMounted = async (volume: string): Promise<boolean> => {
    const mount = (await mounter.mounted()).find((one) => one.volume === volume);
    if (!mount) return false;
    const port = view.spec(volume)?.port;
    if (port === undefined || port === mount.port) {
      if (!retargeter.tracks(volume)) void retargeter.track(volume, mount.port);
      return true;
    }
    log.warn('a stale mount was in the way', { volume, port: mount.port });
    retargeter.untrack(volume);
    await mounter.unmount(volume);
    return false;
  };

  const untilMounted = async (volume: string, left: () => number): Promise<void> => {
    let trouble = '';
    for (let attempts = 1; !(await isMounted(volume)); attempts += 1) {
      const started = clock.monotonic();
      const server = await serverFor(volume, left(), trouble);
      const waitedMs = Math.round(clock.monotonic() - started);
      try {
        const timeoutMs = Math.max(1, Math.round(Math.min(times.attemptMs, left())));
        await attempt(volume, server, timeoutMs);
        log.info('mounted', {
          volume,
          attempt: attempts,
          server: server.host,
          waitedMs,
          ms: Math.round(clock.monotonic() - started),
        });
        return;
      } catch (thrown) {
        trouble = toVolumeError(thrown).message;
        log.warn('mount attempt failed', { volume, attempt: attempts, error: trouble });
        const pause = Math.min(times.firstPauseMs * 2 ** (attempts - 1), times.lastPauseMs);
        if (left() <= pause) throw new VolumeError('timeout', describe(volume, trouble), { cause: thrown });
        await clock.sleep(pause);
      }
    }
  };

  return {
    async ensure(volume, left) {
      try {
        await untilMounted(volume, left);
      } catch (thrown) {
        retargeter.untrack(volume);
        const error = toVolumeError(thrown);
        if (error.code !== 'timeout') throw error;
        const more = await explain().catch(() => '');
        throw more === '' ? error : new VolumeError('timeout', `${error.message}; ${more}`, { cause: error });
      }
    },
  };
}
