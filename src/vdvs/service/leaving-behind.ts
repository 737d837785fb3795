import { toVolumeError } from '../../lib/errors.ts';
import { renderVolumeName } from '../names.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { backendOf, diskOf, type ServiceParts } from './service-parts.ts';

/** ms. How often the holder's lease is looked at while somebody waits; how long a disk that is copied ahead must be quiet. */
const times = { lookMs: 500, quietMs: 100, keptMs: 20_000 } as const;

/** A place made for a holder that was not lost yet. */
interface Ahead {
  readonly uuid: string;
  readonly epoch: number;
  /** `undefined`: none was made, and it may be tried again. Never rejects. */
  readonly made: Promise<{ readonly place: string | undefined; readonly stamp: string } | undefined>;
}

/** Where volumes go on whose holder was lost without a word and may write yet. */
export interface LeavingBehind {
  /**
   * For somebody who waits for a volume that `lease` holds, until `signal` is aborted: makes the new place ahead when the lease
   * runs low, so that the one who waits need not wait for that too. Returns at once.
   */
  follow(id: VolumeId, volume: VolumeRecord, lease: string, signal: AbortSignal): void;
  /**
   * The new place for a volume whose holder is gone for certain; `undefined` when there is none, for whatever reason.
   * @throws VolumeError `unavailable`, `exists` when nobody can be given the volume.
   */
  place(id: VolumeId, volume: VolumeRecord): Promise<string | undefined>;
  /** Deletes a place that certainly no record names; what cannot be deleted now is swept. */
  discard(id: VolumeId, place: string): Promise<void>;
}

/** Over the datastores' backends. */
export function createLeavingBehind(parts: ServiceParts): LeavingBehind {
  const { store, clock, log } = parts;
  const ahead = new Map<string, Ahead>();
  /** What was last asked of each lease, so that many who wait for one host's volumes ask once. */
  const asked = new Map<string, { at: number; runsLow: Promise<number | undefined> }>();

  const discard: LeavingBehind['discard'] = async (id, place) => {
    await backendOf(parts, id)
      .discard?.(place)
      .catch(() => undefined);
  };

  /** ms that a lease has left when it was not renewed for half of its time, else `undefined`. */
  const runsLow = (lease: string): Promise<number | undefined> => {
    const last = asked.get(lease);
    const now = clock.monotonic();
    if (last && now - last.at < times.lookMs / 2) return last.runsLow;
    const look = store.leaseLeft(lease).then(
      (found) => (found && found.leftMs <= found.ttlMs / 2 ? found.leftMs : undefined),
      () => undefined,
    );
    for (const [id, { at }] of asked) if (now - at > times.keptMs) asked.delete(id);
    asked.set(lease, { at: now, runsLow: look });
    return look;
  };

  const make = async (id: VolumeId, volume: VolumeRecord, leftMs: number): Ahead['made'] => {
    const backend = backendOf(parts, id);
    const disk = diskOf(volume);
    try {
      const before = await backend.stamp?.(disk);
      await clock.sleep(times.quietMs);
      const stamp = await backend.stamp?.(disk);
      // Somebody writes yet: what is copied now would be of no use. Two writes within one tick of a clock look alike.
      if (stamp === undefined || stamp !== before) return undefined;
      return { place: await backend.leaveBehind?.(disk, volume.epoch + 1, leftMs), stamp };
    } catch (thrown) {
      log.debug('nothing was copied ahead', {
        volume: renderVolumeName(id),
        error: toVolumeError(thrown).message,
      });
      return undefined;
    }
  };

  /** Takes back what nobody has asked for. */
  const forgetLater = async (id: VolumeId, key: string, entry: Ahead) => {
    const made = await entry.made;
    if (made) await clock.sleep(times.keptMs);
    if (ahead.get(key) !== entry) return;
    ahead.delete(key);
    if (made?.place !== undefined) await discard(id, made.place);
  };

  /** What was made ahead for this very holder, if nothing was written since. */
  const fromAhead = async (id: VolumeId, volume: VolumeRecord) => {
    const key = renderVolumeName(id);
    const entry = ahead.get(key);
    ahead.delete(key);
    const made = await entry?.made;
    if (!entry || !made) return undefined;
    const { place, stamp } = made;
    const isOfThis = entry.epoch === volume.epoch && entry.uuid === volume.fsUuid;
    if (isOfThis && place === undefined) return made;
    if (isOfThis && (await backendOf(parts, id).stamp?.(diskOf(volume))) === stamp) return made;
    if (place !== undefined) await discard(id, place);
    return undefined;
  };

  return {
    discard,

    follow(id, volume, lease, signal) {
      const { stamp, leaveBehind } = backendOf(parts, id);
      if (!stamp || !leaveBehind) return;
      const key = renderVolumeName(id);
      const loop = async () => {
        for (;;) {
          await clock.sleep(times.lookMs, signal);
          if (ahead.has(key)) continue;
          const leftMs = await runsLow(lease);
          if (leftMs === undefined || signal.aborted || ahead.has(key)) continue;
          const entry = { uuid: volume.fsUuid, epoch: volume.epoch, made: make(id, volume, leftMs) };
          ahead.set(key, entry);
          void forgetLater(id, key, entry);
        }
      };
      // The only rejection is the sleep's, when nobody waits any more.
      loop().catch(() => undefined);
    },

    async place(id, volume) {
      const began = clock.monotonic();
      try {
        const made = await fromAhead(id, volume);
        const place = made
          ? made.place
          : await backendOf(parts, id).leaveBehind?.(diskOf(volume), volume.epoch + 1);
        if (place !== undefined) {
          const [volumeName, ms] = [renderVolumeName(id), Math.round(clock.monotonic() - began)];
          log.info('left a lost holder behind', { volume: volumeName, place, ms, ahead: made !== undefined });
        }
        return place;
      } catch (thrown) {
        const error = toVolumeError(thrown);
        // Without its datastore it cannot be given to anybody.
        if (error.code === 'unavailable' || error.code === 'exists') throw error;
        log.warn('disk stays where its lost holder may write', {
          volume: renderVolumeName(id),
          error: error.message,
        });
        return undefined;
      }
    },
  };
}
