import type { z } from 'zod';
import type { Entry, Store } from '../../etcd/store.ts';
import { VolumeError } from '../../lib/errors.ts';
import { parseVdvsKey, vdvsKeys } from '../keys.ts';
import { snapshotOf } from '../names.ts';
import {
  type Attachment,
  attachmentSchema,
  type VolumeId,
  type VolumeRecord,
  volumeRecordSchema,
} from '../types.ts';

/** A record and the revision to compare when it is written again. */
export interface Read<T> {
  readonly value: T;
  readonly modRevision: number;
  readonly lease: string | undefined;
}

/** Both records of a volume. */
export interface VolumeState {
  readonly volume: Read<VolumeRecord> | undefined;
  readonly attachment: Read<Attachment> | undefined;
}

function decode<T>(schema: z.ZodType<T>, entry: Entry | undefined): Read<T> | undefined {
  if (!entry) return undefined;
  const parsed = schema.safeParse(entry.value);
  if (!parsed.success) {
    throw new VolumeError('internal', `${entry.key} holds a record that this version does not understand`, {
      cause: parsed.error,
    });
  }
  return { value: parsed.data, modRevision: entry.modRevision, lease: entry.lease };
}

/** Reads a volume's records. @throws VolumeError `unavailable` when the store does not answer. */
export async function readVolume(store: Store, id: VolumeId): Promise<VolumeState> {
  const [volume, attachment] = await Promise.all([
    store.get(vdvsKeys.volume(id)),
    store.get(vdvsKeys.attachment(id)),
  ]);
  return { volume: decode(volumeRecordSchema, volume), attachment: decode(attachmentSchema, attachment) };
}

/** Reads a snapshot's record. @throws VolumeError `unavailable` when the store does not answer. */
export async function readSnapshot(store: Store, id: VolumeId): Promise<Read<VolumeRecord> | undefined> {
  return decode(volumeRecordSchema, await store.get(vdvsKeys.snapshot(id)));
}

/** Snapshots of one volume, or of all, in the order of their names. */
export async function readSnapshots(
  store: Store,
  volume?: VolumeId,
): Promise<(Read<VolumeRecord> & { readonly id: VolumeId })[]> {
  const prefix = volume ? `${vdvsKeys.snapshot(volume)}-` : vdvsKeys.snapshots;
  const { entries } = await store.list(prefix);
  return entries.flatMap((entry) => {
    const id = parseVdvsKey(entry.key);
    const read = decode(volumeRecordSchema, entry);
    // The prefix is also that of snapshots of volumes whose names go on after it.
    if (!id || !read || (volume && snapshotOf(id)?.volume.name !== volume.name)) return [];
    return [{ ...read, id }];
  });
}

/** All volumes with their attachments: two reads, however many there are. */
export async function readVolumes(store: Store): Promise<(VolumeState & { readonly id: VolumeId })[]> {
  const [volumes, attachments] = await Promise.all([
    store.list(vdvsKeys.volumes),
    store.list(vdvsKeys.attachments),
  ]);
  const held = new Map(attachments.entries.map((entry) => [entry.key, entry]));
  return volumes.entries.flatMap((entry) => {
    const id = parseVdvsKey(entry.key);
    if (!id) return [];
    return [
      {
        id,
        volume: decode(volumeRecordSchema, entry),
        attachment: decode(attachmentSchema, held.get(vdvsKeys.attachment(id))),
      },
    ];
  });
}
