import type { Condition } from '../../etcd/store.ts';
import { VolumeError } from '../../lib/errors.ts';
import { vdvsKeys } from '../keys.ts';
import { parseDiskName, renderVolumeName, snapshotOf } from '../names.ts';
import { parseBlockOptions, type RawOptions } from '../options.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { underClaim } from './claims.ts';
import { readSnapshot, readVolume } from './records.ts';
import { backendOf, diskOf, type ServiceParts, unknownVolume } from './service-parts.ts';

/** A volume or snapshot that nobody has attached, and what must still hold for that to be true. */
interface Source {
  readonly record: VolumeRecord;
  readonly unchanged: readonly Condition[];
}

/**
 * Looks a source up. One whose holder was lost waits for the holder's last writes.
 * @throws VolumeError `not_found`, or `busy` naming the holder.
 */
export async function readSource(parts: ServiceParts, id: VolumeId): Promise<Source> {
  if (snapshotOf(id)) {
    const snapshot = await readSnapshot(parts.store, id);
    if (snapshot?.value.phase !== 'ready') {
      throw new VolumeError('not_found', `snapshot ${renderVolumeName(id)} does not exist`);
    }
    const unchanged = [{ key: vdvsKeys.snapshot(id), modRevision: snapshot.modRevision }];
    return { record: snapshot.value, unchanged };
  }
  const { volume, attachment } = await readVolume(parts.store, id);
  if (volume?.value.phase !== 'ready') throw unknownVolume(id);
  if (attachment) {
    const { host, since } = attachment.value;
    throw new VolumeError(
      'busy',
      `volume ${renderVolumeName(id)} is attached to ${host} since ${since}: a copy is made of what nobody uses`,
    );
  }
  const record = volume.value;
  if (record.releasedEpoch < record.epoch) await parts.clock.sleep(parts.takeoverMarginMs);
  return {
    record,
    unchanged: [
      { key: vdvsKeys.volume(id), modRevision: volume.modRevision },
      { key: vdvsKeys.attachment(id), is: 'absent' },
    ],
  };
}

/** What the record of a copy takes over from its source. */
export function copiedFrom(
  source: VolumeRecord,
): Pick<VolumeRecord, 'copyOf' | 'inherits' | 'growing' | 'formatted'> {
  const { datastore, name, fsUuid, epoch } = source;
  // Without a file system there is nothing to copy; the copy gets one of its own.
  const blank = !source.formatted && source.inherits === undefined;
  return {
    copyOf: { datastore, name, fsUuid, epoch },
    ...(blank ? {} : { inherits: [...(source.formatted ? [] : (source.inherits ?? [])), fsUuid] }),
    ...(source.growing && !blank ? { growing: true } : {}),
    // Its first mount still has to give it a UUID and, where asked for, an owner.
    formatted: false,
  };
}

/**
 * Options of a new volume and, for a clone, what it has from its source.
 * @param raw with the source's full name.
 * @throws VolumeError `invalid` as `parseBlockOptions`; `not_found`, `busy` for the source.
 */
export async function planDisk(
  parts: ServiceParts,
  raw: RawOptions,
): Promise<Pick<VolumeRecord, 'options' | 'copyOf' | 'inherits' | 'growing' | 'formatted'>> {
  const options = parseBlockOptions(raw);
  if (options.cloneFrom === undefined) return { options, formatted: false };
  const { record } = await readSource(parts, parseDiskName(options.cloneFrom, '').id);
  const { sizeBytes, fstype, diskformat, uid, gid, mode } = record.options;
  // A file system in use has its owner by now, whatever its volume was created with.
  const root = record.formatted ? {} : { uid, gid, mode };
  const given = raw.diskformat === undefined ? { diskformat } : {};
  return { ...copiedFrom(record), options: { ...root, ...options, ...given, sizeBytes, fstype } };
}

/**
 * Makes the disk that a record in phase `creating` describes, with its content. A copy is whole when its source has the
 * epoch that the record names, before and after, and is not attached: each attachment raises it.
 * @returns what must hold when the record becomes `ready`; `undefined`: look at the record again.
 * @throws VolumeError `busy` when the source was used meanwhile, and as the backend.
 */
export async function fillDisk(
  parts: ServiceParts,
  record: VolumeRecord,
): Promise<readonly Condition[] | undefined> {
  const backend = backendOf(parts, record);
  const { copyOf, inherits } = record;
  if (!copyOf || !inherits) {
    await backend.create(diskOf(record));
    return [];
  }
  const source = await readSource(parts, copyOf);
  if (source.record.fsUuid !== copyOf.fsUuid || source.record.epoch !== copyOf.epoch) {
    throw new VolumeError(
      'busy',
      `volume ${renderVolumeName(copyOf)} was used while it was copied; nothing was made, try again`,
    );
  }
  const mine = await underClaim(parts, vdvsKeys.copying(record), async () => {
    const from = await backendOf(parts, copyOf).source(diskOf(source.record));
    await backend.copy(diskOf(record), from);
  });
  return mine ? source.unchanged : undefined;
}
