import { randomUUID } from 'node:crypto';
import { VolumeError } from '../../lib/errors.ts';
import type { VolumeView } from '../api.ts';
import { vdvsKeys } from '../keys.ts';
import { parseVolumeName, renderVolumeName, withFullSource } from '../names.ts';
import { differenceTo, parseBlockOptions, type RawOptions, withAttachOf } from '../options.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { planDisk } from './copies.ts';
import { createDiskLife } from './disk-life.ts';
import { updateNotes } from './notes.ts';
import { type Read, readSnapshots, readVolume, readVolumes, type VolumeState } from './records.ts';
import {
  attempts,
  backendOf,
  type Caller,
  diskOf,
  type ServiceParts,
  unknownVolume,
} from './service-parts.ts';

/** Volumes and their disks; any number of services may work on the same records at once. */
export interface Volumes {
  /**
   * @param signal ends when nobody waits for the answer any more: then nothing is begun, for the caller may have been
   *   told by another service meanwhile that the volume is not made.
   */
  create(caller: Caller, id: VolumeId, options: RawOptions, signal?: AbortSignal): Promise<VolumeView>;
  get(id: VolumeId): Promise<VolumeView>;
  list(): Promise<VolumeView[]>;
  remove(id: VolumeId): Promise<void>;
}

/** What users get to see of a volume; `undefined` when there is none. */
export function viewOf(state: VolumeState): VolumeView | undefined {
  if (!state.volume) return undefined;
  const held = state.attachment?.value;
  return {
    record: state.volume.value,
    ...(held ? { attached: { node: held.node, host: held.host, epoch: held.epoch, since: held.since } } : {}),
  };
}

/** Volumes over the store and the datastores' backends. */
export function createVolumes(parts: ServiceParts): Volumes {
  const { store, clock, log } = parts;

  const life = createDiskLife(parts, 'volume', vdvsKeys.volume);

  /** @returns the new record; `undefined` when another one was faster. */
  const begin = async (
    caller: Caller,
    id: VolumeId,
    options: RawOptions,
    signal: AbortSignal | undefined,
  ): Promise<Read<VolumeRecord> | undefined> => {
    const record: VolumeRecord = {
      v: 1,
      name: id.name,
      datastore: id.datastore,
      disk: backendOf(parts, id).diskPath(id.name),
      fsUuid: randomUUID(),
      createdAt: new Date(clock.now()).toISOString(),
      createdBy: caller.host,
      phase: 'creating',
      epoch: 0,
      releasedEpoch: 0,
      cleanEpoch: 0,
      ...(await planDisk(parts, options)),
    };
    const { sizeBytes, policy } = record.options;
    const { done, revision } = await parts.gate.commitSize(
      { caller, id, fromBytes: 0, toBytes: sizeBytes, policy },
      [{ key: vdvsKeys.volume(id), is: 'absent' }],
      [{ put: vdvsKeys.volume(id), value: record }],
      signal,
    );
    parts.failAt?.('create.recorded');
    return done ? { value: record, modRevision: revision, lease: undefined } : undefined;
  };

  /** @returns whether the record was right already, or else has to be read again. */
  const takeOnAttach = async (
    id: VolumeId,
    { value, modRevision }: Read<VolumeRecord>,
    asked: RawOptions,
  ) => {
    const options = withAttachOf(value.options, asked);
    if (options === value.options) return true;
    const key = vdvsKeys.volume(id);
    const record: VolumeRecord = { ...value, options };
    const { done } = await store.txn([{ key, modRevision }], [{ put: key, value: record }]);
    if (done) await updateNotes(parts, 'volume', record);
    return false;
  };

  /** Snapshots are of no use without a name that is theirs; the unfinished go with their volume. */
  const refuseWithSnapshots = async (id: VolumeId): Promise<void> => {
    const snapshots = await readSnapshots(store, id);
    const ready = snapshots.filter(({ value }) => value.phase === 'ready');
    if (ready.length > 0) {
      const names = ready.map((one) => one.id.name).join(', ');
      throw new VolumeError(
        'busy',
        `volume ${renderVolumeName(id)} has snapshots, remove them first: ${names}`,
      );
    }
    const unfinished = createDiskLife(parts, 'snapshot', vdvsKeys.snapshot);
    for (const snapshot of snapshots) await unfinished.undo(snapshot.id, snapshot);
  };

  return {
    async create(caller, id, given, signal) {
      // Checks the name by the rules for users, whatever form it came in.
      parseVolumeName(renderVolumeName(id), id.datastore);
      const options = withFullSource(given, id.datastore);
      const unsupported = backendOf(parts, id).unsupported(parseBlockOptions(options));
      if (unsupported !== undefined) throw new VolumeError('invalid', unsupported);
      return await attempts(id, async () => {
        const state = await readVolume(store, id);
        if (!state.volume) {
          const begun = await begin(caller, id, options, signal);
          const record = begun && (await life.complete(id, begun));
          return record && { record };
        }
        const { value } = state.volume;
        if (value.phase === 'deleting') {
          await life.finishRemoval(id, state.volume);
          return undefined;
        }
        const difference = differenceTo(value.options, options);
        if (difference !== undefined) {
          throw new VolumeError(
            'exists',
            `volume ${renderVolumeName(id)} exists already with other options: ${difference}`,
          );
        }
        if (value.phase === 'creating') {
          await life.complete(id, state.volume);
          return undefined;
        }
        return (await takeOnAttach(id, state.volume, options)) ? viewOf(state) : undefined;
      });
    },

    async get(id) {
      const state = await readVolume(store, id);
      const view = viewOf(state);
      // A volume on its way in or out does not exist for users.
      if (view?.record.phase !== 'ready') throw unknownVolume(id);
      const usage = await parts.backends
        .get(id.datastore)
        ?.usage(diskOf(view.record))
        .catch((thrown) => {
          log.warn('datastore does not tell usage', { volume: id.name, error: String(thrown) });
          return undefined;
        });
      return usage ? { ...view, allocatedBytes: usage.allocatedBytes } : view;
    },

    async list() {
      const states = await readVolumes(store);
      return states
        .map(viewOf)
        .filter((view): view is VolumeView => view !== undefined && view.record.phase === 'ready');
    },

    async remove(id) {
      await attempts(id, async () => {
        const state = await readVolume(store, id);
        if (!state.volume) throw unknownVolume(id);
        const { value, modRevision } = state.volume;
        if (value.phase !== 'deleting') {
          const holder = state.attachment?.value;
          if (holder) {
            throw new VolumeError(
              'busy',
              `volume ${renderVolumeName(id)} is in use: attached to ${holder.host} since ${holder.since}`,
            );
          }
          await refuseWithSnapshots(id);
          // The mark and the absence of an attachment in one step: an attach cannot slip in between.
          await store.txn(
            [
              { key: vdvsKeys.volume(id), modRevision },
              { key: vdvsKeys.attachment(id), is: 'absent' },
            ],
            [{ put: vdvsKeys.volume(id), value: { ...value, phase: 'deleting' } }],
          );
          parts.failAt?.('remove.marked');
          return undefined;
        }
        return (await life.finishRemoval(id, state.volume)) || undefined;
      });
    },
  };
}
