import { randomUUID } from 'node:crypto';
import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { VolumeView } from '../api.ts';
import type { DatastoreBackend, Disk } from '../backends/backend.ts';
import { vdvsKeys } from '../keys.ts';
import { parseVolumeName, renderVolumeName } from '../names.ts';
import { differenceTo, parseBlockOptions, type RawOptions } from '../options.ts';
import type { RulesGate } from '../rules/gate.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { type Read, readVolume, readVolumes, type VolumeState } from './records.ts';

/** Who asks: the node in the caller's certificate, and its host name for people. */
export interface Caller {
  readonly node: string;
  readonly host: string;
}

/** What the service's operations need. */
export interface ServiceParts {
  readonly store: Store;
  readonly backends: ReadonlyMap<string, DatastoreBackend>;
  /** Stands before whatever makes a disk, changes its size or gives it to a node. */
  readonly gate: RulesGate;
  readonly clock: Clock;
  readonly log: Log;
}

/** Volumes and their disks; any number of services may work on the same records at once. */
export interface Volumes {
  create(caller: Caller, id: VolumeId, options: RawOptions): Promise<VolumeView>;
  get(id: VolumeId): Promise<VolumeView>;
  list(): Promise<VolumeView[]>;
  remove(id: VolumeId): Promise<void>;
}

/** Attempts of a read-compare-write before the caller hears that others keep changing the record. */
const maxAttempts = 10;

/** The backend of a volume's datastore. @throws VolumeError `invalid` naming the datastores that there are. */
export function backendOf(parts: ServiceParts, id: VolumeId): DatastoreBackend {
  const backend = parts.backends.get(id.datastore);
  if (backend) return backend;
  const there = [...parts.backends.keys()].join(', ');
  throw new VolumeError('invalid', `datastore "${id.datastore}" is unknown; there are: ${there}`);
}

/** The disk that a record describes. */
export function diskOf(record: VolumeRecord): Disk {
  return {
    id: { datastore: record.datastore, name: record.name },
    disk: record.disk,
    uuid: record.fsUuid,
    sizeBytes: record.options.sizeBytes,
    diskformat: record.options.diskformat,
  };
}

/** "No such volume", in one wording. */
export function unknownVolume(id: VolumeId): VolumeError {
  return new VolumeError('not_found', `volume ${renderVolumeName(id)} does not exist`);
}

function viewOf(state: VolumeState): VolumeView | undefined {
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

  const newRecord = (caller: Caller, id: VolumeId, options: RawOptions): VolumeRecord => ({
    v: 1,
    name: id.name,
    datastore: id.datastore,
    disk: backendOf(parts, id).diskPath(id.name),
    fsUuid: randomUUID(),
    options: parseBlockOptions(options),
    createdAt: new Date(clock.now()).toISOString(),
    createdBy: caller.host,
    phase: 'creating',
    epoch: 0,
    formatted: false,
    releasedEpoch: 0,
    cleanEpoch: 0,
  });

  /** Goes on with a removal that this or another service began. */
  const finishRemoval = async (id: VolumeId, read: Read<VolumeRecord>): Promise<boolean> => {
    await backendOf(parts, id).remove(diskOf(read.value));
    const { done } = await store.txn(
      [{ key: vdvsKeys.volume(id), modRevision: read.modRevision }],
      [{ delete: vdvsKeys.volume(id) }],
    );
    if (done) log.info('volume removed', { volume: renderVolumeName(id) });
    return done;
  };

  /** Takes back a creation that failed. Where even that fails, the mark stays and the next create goes on from it. */
  const undo = async (id: VolumeId, read: Read<VolumeRecord>): Promise<void> => {
    const { done, revision } = await store.txn(
      [{ key: vdvsKeys.volume(id), modRevision: read.modRevision }],
      [{ put: vdvsKeys.volume(id), value: { ...read.value, phase: 'deleting' } }],
    );
    if (done) await finishRemoval(id, { ...read, modRevision: revision });
  };

  /** The record goes first: whoever finds it without its disk, this caller or the next, completes it. */
  const complete = async (id: VolumeId, read: Read<VolumeRecord>): Promise<void> => {
    const volume = renderVolumeName(id);
    try {
      await backendOf(parts, id).create(diskOf(read.value));
    } catch (thrown) {
      await undo(id, read).catch((error) =>
        log.warn('creation not undone yet', { volume, error: String(error) }),
      );
      throw thrown;
    }
    const { done } = await store.txn(
      [{ key: vdvsKeys.volume(id), modRevision: read.modRevision }],
      [{ put: vdvsKeys.volume(id), value: { ...read.value, phase: 'ready' } }],
    );
    if (done) log.info('volume created', { volume, uuid: read.value.fsUuid });
  };

  const attempts = async <T>(id: VolumeId, act: () => Promise<T | undefined>): Promise<T> => {
    for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
      const result = await act();
      if (result !== undefined) return result;
    }
    throw new VolumeError('conflict', `volume ${renderVolumeName(id)}: others keep changing it; try again`);
  };

  return {
    async create(caller, id, options) {
      // Checks the name by the rules for users, whatever form it came in.
      parseVolumeName(renderVolumeName(id), id.datastore);
      const unsupported = backendOf(parts, id).unsupported(parseBlockOptions(options));
      if (unsupported !== undefined) throw new VolumeError('invalid', unsupported);
      return await attempts(id, async () => {
        const state = await readVolume(store, id);
        if (!state.volume) {
          const record = newRecord(caller, id, options);
          const { sizeBytes, policy } = record.options;
          await parts.gate.commitSize(
            { caller, id, fromBytes: 0, toBytes: sizeBytes, policy },
            [{ key: vdvsKeys.volume(id), is: 'absent' }],
            [{ put: vdvsKeys.volume(id), value: record }],
          );
          return undefined;
        }
        const { value } = state.volume;
        if (value.phase === 'deleting') {
          await finishRemoval(id, state.volume);
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
          await complete(id, state.volume);
          return undefined;
        }
        return viewOf(state);
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
          // The mark and the absence of an attachment in one step: an attach cannot slip in between.
          await store.txn(
            [
              { key: vdvsKeys.volume(id), modRevision },
              { key: vdvsKeys.attachment(id), is: 'absent' },
            ],
            [{ put: vdvsKeys.volume(id), value: { ...value, phase: 'deleting' } }],
          );
          return undefined;
        }
        return (await finishRemoval(id, state.volume)) || undefined;
      });
    },
  };
}
