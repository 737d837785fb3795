import type { Log } from '../../lib/log.ts';
import { renderVolumeName } from '../names.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { fillDisk } from './copies.ts';
import { type DiskNotes, writeNotes } from './notes.ts';
import type { Read } from './records.ts';
import { backendOf, diskOf, type ServiceParts } from './service-parts.ts';

/** Beginning and end of a disk and its record; any service goes on from where another one stopped. */
export interface DiskLife {
  /**
   * Makes the disk of a record in phase `creating` and marks it `ready`; takes both back when that fails.
   * @returns the record as it is now; `undefined`: look again.
   */
  complete(id: VolumeId, read: Read<VolumeRecord>): Promise<VolumeRecord | undefined>;
  /** Deletes the disk of a record in phase `deleting`, then the record. @returns false: look again. */
  finishRemoval(id: VolumeId, read: Read<VolumeRecord>): Promise<boolean>;
  /** Takes back a creation. Where even that fails, the mark stays and whoever comes next goes on from it. */
  undo(id: VolumeId, read: Read<VolumeRecord>): Promise<void>;
}

/** The life of volumes or of snapshots. */
export function createDiskLife(
  parts: ServiceParts,
  kind: DiskNotes['kind'],
  keyOf: (id: VolumeId) => string,
): DiskLife {
  const { store } = parts;
  const log: Log = parts.log;

  const finishRemoval: DiskLife['finishRemoval'] = async (id, read) => {
    await backendOf(parts, id).remove(diskOf(read.value));
    parts.failAt?.('remove.deleted');
    const { done } = await store.txn(
      [{ key: keyOf(id), modRevision: read.modRevision }],
      [{ delete: keyOf(id) }],
    );
    if (done) log.info(`${kind} removed`, { volume: renderVolumeName(id) });
    return done;
  };

  const fillAndDescribe = async (record: VolumeRecord) => {
    const conditions = await fillDisk(parts, record);
    if (conditions) await writeNotes(parts, kind, { ...record, phase: 'ready' });
    return conditions;
  };

  const undo: DiskLife['undo'] = async (id, read) => {
    const { done, revision } = await store.txn(
      [{ key: keyOf(id), modRevision: read.modRevision }],
      [{ put: keyOf(id), value: { ...read.value, phase: 'deleting' } }],
    );
    if (done) await finishRemoval(id, { ...read, modRevision: revision });
  };

  return {
    finishRemoval,
    undo,
    async complete(id, read) {
      const volume = renderVolumeName(id);
      const conditions = await fillAndDescribe(read.value).catch(async (thrown) => {
        await undo(id, read).catch((error) =>
          log.warn('creation not undone yet', { volume, error: String(error) }),
        );
        throw thrown;
      });
      if (!conditions) return undefined;
      parts.failAt?.('create.made');
      const record: VolumeRecord = { ...read.value, phase: 'ready' };
      const { done } = await store.txn(
        [{ key: keyOf(id), modRevision: read.modRevision }, ...conditions],
        [{ put: keyOf(id), value: record }],
      );
      if (!done) return undefined;
      log.info(`${kind} created`, { volume, uuid: record.fsUuid });
      return record;
    },
  };
}
