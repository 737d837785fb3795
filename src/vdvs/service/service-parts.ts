import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import type { FailurePoint } from '../../lib/failure-point.ts';
import type { Log } from '../../lib/log.ts';
import type { DatastoreBackend, Disk } from '../backends/backend.ts';
import { renderVolumeName } from '../names.ts';
import type { RulesGate } from '../rules/gate.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';

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
  /** The Swarm's cluster ID: whose disks in a datastore are our own. */
  readonly cluster: () => Promise<string>;
  /** ms that a volume whose holder was lost waits beyond the holder's lease: for writes on their way. */
  readonly takeoverMarginMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly failAt?: FailurePoint;
}

/** Attempts of a read-compare-write before the caller hears that others keep changing the record. */
const maxAttempts = 10;

/** Does a read-compare-write until it has a result. @throws VolumeError `conflict` when others keep changing the record. */
export async function attempts<T>(id: VolumeId, act: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
    const result = await act();
    if (result !== undefined) return result;
  }
  throw new VolumeError('conflict', `volume ${renderVolumeName(id)}: others keep changing it; try again`);
}

/** A datastore's backend. @throws VolumeError `invalid` naming the datastores that there are. */
export function backendOf(
  parts: Pick<ServiceParts, 'backends'>,
  { datastore }: Pick<VolumeId, 'datastore'>,
): DatastoreBackend {
  const backend = parts.backends.get(datastore);
  if (backend) return backend;
  const there = [...parts.backends.keys()].join(', ');
  throw new VolumeError('invalid', `datastore "${datastore}" is unknown; there are: ${there}`);
}

/** The disk that a record describes. */
export function diskOf(record: VolumeRecord): Disk {
  return {
    id: { datastore: record.datastore, name: record.name },
    disk: record.disk,
    extent: record.extent,
    uuid: record.fsUuid,
    sizeBytes: record.options.sizeBytes,
    diskformat: record.options.diskformat,
  };
}

/** "No such volume", in one wording. */
export function unknownVolume(id: VolumeId): VolumeError {
  return new VolumeError('not_found', `volume ${renderVolumeName(id)} does not exist`);
}
