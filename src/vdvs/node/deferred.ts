import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { FailurePoint } from '../../lib/failure-point.ts';
import type { KeyedQueue } from '../../lib/keyed-queue.ts';
import type { Log } from '../../lib/log.ts';
import { renderVolumeName } from '../names.ts';
import type { VolumeId } from '../types.ts';
import type { BlockVolumes, Granted } from './block-volumes.ts';
import type { Grants } from './grants.ts';
import type { Guard } from './guard-port.ts';
import type { LoopDevice, LoopDevices } from './loop-devices.ts';
import { isLive, type LiveMount, type MountTable, type WaitingMount } from './mount-table.ts';

/** What waiting for disks needs. */
export interface DeferredParts {
  readonly grants: Grants;
  readonly guard: Pick<Guard, 'lease'>;
  readonly volumes: Pick<BlockVolumes, 'openGranted'>;
  readonly loops: Pick<LoopDevices, 'list'>;
  readonly table: MountTable;
  readonly queue: KeyedQueue;
  /** Aborted when the lease is lost; a new one each time. */
  readonly leaseSignal: () => AbortSignal;
  /** Told when the service may hold the volume for this node without use. */
  readonly onUncertain: (id: VolumeId) => void;
  /** Told when the disk is there. */
  readonly onAttached: (mount: LiveMount) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly failAt?: FailurePoint;
}

/**
 * Waits for the disks of volumes that containers use already, with a placeholder in the disk's place. The question for a
 * disk stands at the service outside the volume's turn in the queue, so that containers may come and go meanwhile. What
 * must stay true: while it stands (`asking`), nothing else here asks for this volume or gives it back, or what was granted
 * might be given back by one while the other mounts it.
 */
export interface Deferred {
  /** Waits from now on, as long as the table has users of the volume and not its disk. Done twice it is done once. */
  wait(id: VolumeId): void;
  asking(id: VolumeId): boolean;
  /** Nobody may need the disk any more: do not go on with making or checking its file system. `wait` goes on after all. */
  callOff(id: VolumeId): void;
  /** Why the disk is not there yet. */
  reason(id: VolumeId): string | undefined;
  /** The disk is not asked for while a device of an earlier mount of it is held here by those that had it open. */
  leftBehind(id: VolumeId, device: { device: string; folder: string }): Promise<void>;
  /** Waits for nothing any more. */
  stop(): void;
}

interface Waiter {
  reason: string;
  calledOff: AbortController;
}

/**
 * ms. The question stands for so long at one manager: one that dies with the holder must be noticed before the holder's
 * lease has run out. Pauses after a question that failed, and after one that will fail again: doubled up to the longest.
 */
const times = {
  standMs: 2_000,
  leaseMs: 2_000,
  lookMs: 100,
  soonMs: { first: 100, longest: 500 },
  laterMs: { first: 1_000, longest: 15_000 },
} as const;

/** See `Deferred`. */
export function createDeferred(parts: DeferredParts): Deferred {
  const { grants, guard, volumes, loops, table, queue, clock, log } = parts;
  const waiters = new Map<string, Waiter>();
  const held = new Map<string, LoopDevice & { folder: string }>();
  const stopped = new AbortController();

  const wanted = (id: VolumeId): WaitingMount | undefined => {
    const use = table.use(id);
    if (!use || isLive(use) || stopped.signal.aborted) return undefined;
    return Object.keys(use.ids).some((mountId) => !use.over?.includes(mountId)) ? use : undefined;
  };

  const because = (id: VolumeId, waiter: Waiter, reason: string) => {
    if (waiter.reason === reason) return;
    waiter.reason = reason;
    log.info('waiting for the disk', { volume: renderVolumeName(id), reason });
  };

  const isHeld = async (key: string) => {
    const left = held.get(key);
    if (!left) return undefined;
    const devices = await loops.list(left.folder);
    if (devices.some(({ device, file }) => device === left.device && file === left.file)) return left.device;
    held.delete(key);
    return undefined;
  };

  /** In the volume's turn. @returns whether the disk is there now. */
  const takeUp = async (
    id: VolumeId,
    waiter: Waiter,
    granted: Granted,
    lost: AbortSignal,
  ): Promise<boolean> => {
    const { grant } = granted;
    const key = renderVolumeName(id);
    const use = wanted(id);
    if (!use || lost.aborted || waiter.calledOff.signal.aborted) {
      // Called off, or fenced, at the very moment. The disk was not opened: what was clean is clean still.
      await grants.giveBack(id, grant.epoch, grant.clean);
      return false;
    }
    parts.failAt?.('deferred.granted');
    const signal = AbortSignal.any([lost, waiter.calledOff.signal]);
    const { ids, inherited } = use;
    const note = async (mount: LiveMount) => {
      waiter.calledOff.signal.throwIfAborted();
      // From now on it is unmounted in peace: containers may have written to it.
      waiters.delete(key);
      await table.put({ ...mount, ids, inherited, deferred: true });
    };
    const mount = await volumes.openGranted(granted, note, signal).catch(async (thrown) => {
      waiters.set(key, waiter);
      await table.put(use);
      throw thrown;
    });
    parts.failAt?.('deferred.attached');
    parts.onAttached(mount);
    log.info('attached', { volume: renderVolumeName(id), device: mount.device });
    return true;
  };

  /** @returns whether the disk is there now, or else ms until the next attempt. */
  const attempt = async (
    id: VolumeId,
    waiter: Waiter,
    pauses: { soonMs: number; laterMs: number },
  ): Promise<true | number> => {
    const key = renderVolumeName(id);
    const asked = clock.monotonic();
    const later = (thrown: unknown) => {
      because(id, waiter, toVolumeError(thrown).message);
      pauses.laterMs = Math.min(pauses.laterMs * 2, times.laterMs.longest);
      return pauses.laterMs / 2;
    };
    const lost = parts.leaseSignal();
    // The first question is answered at once: users learn why they wait.
    const standMs = waiter.reason === '' ? 0 : times.standMs;
    let granted: Granted;
    try {
      const device = await isHeld(key);
      if (device !== undefined) {
        because(id, waiter, `processes of this host still hold ${device}, an earlier mount of the disk`);
        return times.lookMs;
      }
      const lease = await guard.lease(times.leaseMs);
      granted = { id, lease, grant: await grants.attachOnce(id, lease, standMs) };
    } catch (thrown) {
      const error = toVolumeError(thrown);
      if (!error.retry) return later(thrown);
      because(id, waiter, error.message);
      if (error.code === 'busy') {
        pauses.soonMs = times.soonMs.first;
        // The next question stands at once, unless this one did not stand at all.
        return standMs === 0 ? 0 : Math.max(0, times.lookMs - (clock.monotonic() - asked));
      }
      pauses.soonMs = Math.min(pauses.soonMs * 2, times.soonMs.longest);
      return pauses.soonMs / 2;
    }
    try {
      return (await queue.run(key, () => takeUp(id, waiter, granted, lost))) || 0;
    } catch (thrown) {
      if (lost.aborted || waiter.calledOff.signal.aborted) return times.lookMs;
      // A disk that cannot be used here is left to other hosts for a while.
      return later(thrown);
    }
  };

  const work = async (id: VolumeId, waiter: Waiter): Promise<void> => {
    const key = renderVolumeName(id);
    const pauses = { soonMs: times.soonMs.first, laterMs: times.laterMs.first };
    while (wanted(id)) {
      if (waiter.calledOff.signal.aborted) waiter.calledOff = new AbortController();
      const outcome = await attempt(id, waiter, pauses);
      if (outcome === true) return;
      const signal = AbortSignal.any([waiter.calledOff.signal, stopped.signal]);
      if (outcome > 0) await clock.sleep(outcome, signal).catch(() => undefined);
    }
    waiters.delete(key);
    held.delete(key);
    // The last question may have been granted by a manager whose answer was lost.
    if (!table.get(id)) parts.onUncertain(id);
  };

  return {
    wait({ datastore, name }) {
      const id = { datastore, name };
      const key = renderVolumeName(id);
      if (waiters.has(key) || !wanted(id)) return;
      const waiter = { reason: '', calledOff: new AbortController() };
      waiters.set(key, waiter);
      void work(id, waiter);
    },
    asking: (id) => waiters.has(renderVolumeName(id)),
    callOff: (id) => waiters.get(renderVolumeName(id))?.calledOff.abort(new Error('nobody uses it any more')),
    reason: (id) => waiters.get(renderVolumeName(id))?.reason || undefined,
    async leftBehind(id, { device, folder }) {
      const left = (await loops.list(folder)).find((one) => one.device === device);
      if (left) held.set(renderVolumeName(id), { ...left, folder });
    },
    stop() {
      stopped.abort(new Error('the plugin ends'));
      for (const { calledOff } of waiters.values()) calledOff.abort(new Error('the plugin ends'));
    },
  };
}
