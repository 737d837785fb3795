import type { Store } from '../../etcd/store.ts';
import { toVolumeError } from '../../lib/errors.ts';
import { renderVolumeName } from '../names.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { backendOf, diskOf, type ServiceParts } from './service-parts.ts';

/**
 * ms. How often the holder's lease is looked at while somebody waits, and its release note when there may be one; how long a disk
 * that is copied ahead must be quiet.
 */
const times = { lookMs: 500, noteMs: 150, quietMs: 100, keptMs: 20_000 } as const;

/** Part of its time that a lease has left when its holder may have fenced itself: a host does so well before the end. */
const fencedFrom = 1 / 3;

/** What a lease has left of its time, in ms. */
type LeaseTime = NonNullable<Awaited<ReturnType<Store['leaseLeft']>>>;

/** What was last asked of a lease, and told. */
interface Asked {
  at: number;
  asking?: Promise<void>;
  told?: LeaseTime & { readonly at: number };
}

/** A place made for a holder that was not lost yet. */
interface Ahead {
  readonly uuid: string;
  readonly epoch: number;
  /** `undefined`: none was made, and it may be tried again. Never rejects. */
  readonly made: Promise<{ readonly place: string | undefined; readonly stamp: string } | undefined>;
}

/** Where a volume is whose holder was lost. */
export interface Left {
  /** The new place; `undefined`: it stays where it was. */
  readonly extent: string | undefined;
  /** Whether the holder may still write to the place where it was. */
  readonly mayWrite: boolean;
}

/** Where volumes go on whose holder was lost and may write yet, and who says that it does not. */
export interface LeavingBehind {
  /**
   * For somebody who waits for a volume that `lease` holds, until `signal` is aborted: makes the new place ahead when the lease
   * runs low, so that the one who waits need not wait for that too. Returns at once.
   * @param onReleased called when the holder says in the datastore that it has let go, each time that this is seen.
   */
  follow(
    id: VolumeId,
    volume: VolumeRecord,
    lease: string,
    signal: AbortSignal,
    onReleased: () => Promise<void>,
  ): void;
  /**
   * What is to be done with a volume whose lease is gone and that nobody gave back: the holder has let go and says so in the
   * datastore, or there is a new place, or, for whatever reason, neither.
   * @throws VolumeError `unavailable`, `exists` when nobody can be given the volume.
   */
  place(id: VolumeId, volume: VolumeRecord): Promise<Left>;
  /** Deletes a place that certainly no record names; what cannot be deleted now is swept. */
  discard(id: VolumeId, place: string): Promise<void>;
}

/** Over the datastores' backends. */
export function createLeavingBehind(parts: ServiceParts): LeavingBehind {
  const { store, clock, log } = parts;
  const ahead = new Map<string, Ahead>();
  /** By lease, so that many who wait for one host's volumes ask once. */
  const asked = new Map<string, Asked>();

  const discard: LeavingBehind['discard'] = async (id, place) => {
    await backendOf(parts, id)
      .discard?.(place)
      .catch(() => undefined);
  };

  /**
   * What a lease has left of its time: as last told, less the time since. When a host is lost the store may be slow to say it,
   * and it is then that it counts.
   */
  const leaseTime = async (lease: string, signal: AbortSignal): Promise<LeaseTime | undefined> => {
    const now = clock.monotonic();
    for (const [id, { at }] of asked) if (now - at > times.keptMs) asked.delete(id);
    const entry: Asked = asked.get(lease) ?? { at: Number.NEGATIVE_INFINITY };
    asked.set(lease, entry);
    if (!entry.asking && now - entry.at >= times.lookMs / 2) {
      entry.at = now;
      entry.asking = store
        .leaseLeft(lease)
        .then(
          (left) => {
            // One that has run out is gone, as this is asked, some time before what hangs on it.
            entry.told = { ...(left ?? { leftMs: 0, ttlMs: entry.told?.ttlMs ?? 0 }), at: now };
          },
          () => undefined,
        )
        .finally(() => {
          delete entry.asking;
        });
    }
    if (entry.asking) await Promise.race([entry.asking, clock.sleep(times.noteMs, signal)]);
    const { told } = entry;
    return told && { ttlMs: told.ttlMs, leftMs: told.leftMs - (clock.monotonic() - told.at) };
  };

  /** A datastore that cannot be asked says nothing. */
  const isReleased = async (id: VolumeId, volume: VolumeRecord): Promise<boolean> =>
    (await backendOf(parts, id)
      .hasReleaseNote?.(diskOf(volume), volume.epoch)
      .catch(() => undefined)) ?? false;

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

  const makeAhead = (id: VolumeId, volume: VolumeRecord, leftMs: number) => {
    const key = renderVolumeName(id);
    if (ahead.has(key)) return;
    const { stamp, leaveBehind } = backendOf(parts, id);
    if (!stamp || !leaveBehind) return;
    const entry = { uuid: volume.fsUuid, epoch: volume.epoch, made: make(id, volume, leftMs) };
    ahead.set(key, entry);
    void forgetLater(id, key, entry);
  };

  /** Where its bytes are now, made ahead or now; `ahead` says which. `undefined`: they cannot be anywhere else. */
  const findPlace = async (id: VolumeId, volume: VolumeRecord, signal: AbortSignal) => {
    const made = await fromAhead(id, volume);
    // What would have taken too long ahead of the loss is not tried again.
    if (made) return { extent: made.place, ahead: true };
    if (signal.aborted) return { extent: undefined, ahead: false };
    const { leaveBehind } = backendOf(parts, id);
    const extent = await leaveBehind?.(diskOf(volume), volume.epoch + 1, 0, signal);
    return { extent, ahead: false };
  };

  /** Resolves when the holder says that it has let go, and not before: who is cut off needs a moment for that. */
  const untilReleased = async (id: VolumeId, volume: VolumeRecord, signal: AbortSignal) => {
    while (!(await isReleased(id, volume))) await clock.sleep(times.noteMs, signal);
    return 'released' as const;
  };

  return {
    discard,

    follow(id, volume, lease, signal, onReleased) {
      const loop = async () => {
        // A question that stands may follow another one, and the holder have been lost meanwhile.
        for (let pauseMs: number = times.noteMs; ; ) {
          await clock.sleep(pauseMs, signal);
          const left = await leaseTime(lease, signal);
          signal.throwIfAborted();
          pauseMs = times.lookMs;
          // Of one that is renewed there is never less than half.
          if (left === undefined || left.leftMs > left.ttlMs / 2) continue;
          if (left.leftMs > 0) makeAhead(id, volume, left.leftMs);
          if (left.leftMs > left.ttlMs * fencedFrom) continue;
          pauseMs = times.noteMs;
          if (!(await isReleased(id, volume))) continue;
          signal.throwIfAborted();
          await onReleased().catch((thrown) =>
            log.debug('a release note was not followed', {
              volume: renderVolumeName(id),
              error: toVolumeError(thrown).message,
            }),
          );
        }
      };
      // It ends when nobody waits any more.
      loop().catch(() => undefined);
    },

    async place(id, volume) {
      const began = clock.monotonic();
      const fields = { volume: renderVolumeName(id), epoch: volume.epoch };
      const over = new AbortController();
      try {
        const finding = findPlace(id, volume, over.signal);
        const told = untilReleased(id, volume, over.signal);
        // Ends with the sleep when there is a place.
        told.catch(() => undefined);
        const found = await Promise.race([finding, told]);
        const ms = Math.round(clock.monotonic() - began);
        if (found === 'released') {
          log.info('lost holder has let go', { ...fields, ms });
          void finding.then(
            ({ extent }) => (extent === undefined ? undefined : discard(id, extent)),
            () => undefined,
          );
          return { extent: undefined, mayWrite: false };
        }
        const { extent, ahead: isAhead } = found;
        if (extent !== undefined) {
          log.info('left a lost holder behind', { ...fields, place: extent, ms, ahead: isAhead });
        }
        return { extent, mayWrite: true };
      } catch (thrown) {
        const error = toVolumeError(thrown);
        // Without its datastore it cannot be given to anybody.
        if (error.code === 'unavailable' || error.code === 'exists') throw error;
        log.warn('disk stays where its lost holder may write', { ...fields, error: error.message });
        return { extent: undefined, mayWrite: true };
      } finally {
        over.abort(new Error('it is known where the disk is'));
      }
    },
  };
}
