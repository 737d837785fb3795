import { randomUUID } from 'node:crypto';
import { VolumeError } from '../../lib/errors.ts';
import { vdvsKeys } from '../keys.ts';
import { maxSnapshotNumber, renderVolumeName, snapshotId, snapshotOf } from '../names.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { copiedFrom, readSource } from './copies.ts';
import { createDiskLife } from './disk-life.ts';
import { updateNotes } from './notes.ts';
import { readSnapshot, readSnapshots } from './records.ts';
import { attempts, backendOf, type Caller, type ServiceParts } from './service-parts.ts';

/**
 * Copies of volumes under names of their own, `<volume>-000001`, that can be a `clone-from` and nothing else. A number is
 * never given twice while its volume lives.
 */
export interface Snapshots {
  /** @throws VolumeError `busy` naming the holder while the volume is attached, `not_found`, `no_space`. */
  create(caller: Caller, volume: VolumeId): Promise<VolumeRecord>;
  /** Complete ones, oldest first; of one volume, or of all. */
  list(volume?: VolumeId): Promise<VolumeRecord[]>;
  /** @throws VolumeError `not_found`. */
  remove(id: VolumeId): Promise<void>;
}

function unknownSnapshot(id: VolumeId): VolumeError {
  return new VolumeError('not_found', `snapshot ${renderVolumeName(id)} does not exist`);
}

/** Snapshots over the store and the datastores' backends. */
export function createSnapshots(parts: ServiceParts): Snapshots {
  const { store, clock } = parts;
  const life = createDiskLife(parts, 'snapshot', vdvsKeys.snapshot);

  /** A record in phase `creating` and the volume's new count, in one step. @returns `undefined`: look again. */
  const begin = async (caller: Caller, volume: VolumeId): Promise<VolumeId | undefined> => {
    const source = await readSource(parts, volume);
    const number = (source.record.lastSnapshot ?? 0) + 1;
    if (number > maxSnapshotNumber) {
      throw new VolumeError(
        'invalid',
        `volume ${renderVolumeName(volume)}: all ${maxSnapshotNumber} numbers of snapshots are used up`,
      );
    }
    const id = snapshotId(volume, number);
    const { uid: _uid, gid: _gid, mode: _mode, ...rest } = source.record.options;
    const record: VolumeRecord = {
      v: 1,
      name: id.name,
      datastore: id.datastore,
      disk: backendOf(parts, id).diskPath(id.name),
      fsUuid: randomUUID(),
      // A file system in use has its owner by now, whatever its volume was created with.
      options: source.record.formatted ? rest : source.record.options,
      createdAt: new Date(clock.now()).toISOString(),
      createdBy: caller.host,
      phase: 'creating',
      epoch: 0,
      releasedEpoch: 0,
      cleanEpoch: 0,
      ...copiedFrom(source.record),
    };
    const toBytes = record.options.sizeBytes;
    const counted: VolumeRecord = { ...source.record, lastSnapshot: number };
    const { done } = await parts.gate.commitSize(
      { caller, id, fromBytes: 0, toBytes },
      [...source.unchanged, { key: vdvsKeys.snapshot(id), is: 'absent' }],
      [
        { put: vdvsKeys.volume(volume), value: counted },
        { put: vdvsKeys.snapshot(id), value: record },
      ],
    );
    if (!done) return undefined;
    await updateNotes(parts, 'volume', counted);
    return id;
  };

  /** Until it is ready, whoever gets it there. */
  const finish = async (id: VolumeId): Promise<VolumeRecord> =>
    await attempts(id, async () => {
      const read = await readSnapshot(store, id);
      if (!read || read.value.phase === 'deleting') throw unknownSnapshot(id);
      if (read.value.phase === 'ready') return read.value;
      await life.complete(id, read);
      return undefined;
    });

  return {
    async create(caller, volume) {
      if (snapshotOf(volume)) {
        throw new VolumeError(
          'invalid',
          `${renderVolumeName(volume)} is a snapshot: snapshots are taken of volumes`,
        );
      }
      // What an earlier service began and nobody waits for any more.
      for (const left of await readSnapshots(store, volume)) {
        if (left.value.phase === 'creating') await life.complete(left.id, left).catch(() => undefined);
        if (left.value.phase === 'deleting') await life.finishRemoval(left.id, left).catch(() => undefined);
      }
      return await finish(await attempts(volume, () => begin(caller, volume)));
    },

    async list(volume) {
      const all = await readSnapshots(store, volume);
      return all.map((one) => one.value).filter(({ phase }) => phase === 'ready');
    },

    async remove(id) {
      await attempts(id, async () => {
        const read = await readSnapshot(store, id);
        if (!read) throw unknownSnapshot(id);
        if (read.value.phase === 'deleting') return (await life.finishRemoval(id, read)) || undefined;
        await store.txn(
          [{ key: vdvsKeys.snapshot(id), modRevision: read.modRevision }],
          [{ put: vdvsKeys.snapshot(id), value: { ...read.value, phase: 'deleting' } }],
        );
        return undefined;
      });
    },
  };
}
