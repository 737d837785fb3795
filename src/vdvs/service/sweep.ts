import type { Store } from '../../etcd/store.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { CurrentExtent, DatastoreBackend } from '../backends/backend.ts';
import { readVolumes } from './records.ts';

/** What a sweep needs. */
export interface SweepParts {
  readonly store: Store;
  readonly backends: ReadonlyMap<string, Pick<DatastoreBackend, 'sweep'>>;
  readonly log: Log;
}

/** Where the records say that the bytes of a datastore's disks are, by the disks' paths. */
export async function currentExtents(
  store: Store,
  datastore: string,
): Promise<ReadonlyMap<string, CurrentExtent>> {
  const volumes = await readVolumes(store);
  return new Map(
    volumes.flatMap(({ id, volume }) =>
      volume && id.datastore === datastore ? [[volume.value.disk, volume.value] as const] : [],
    ),
  );
}

/** Deletes what interrupted work left in the datastores. Never throws: one that is not there now is swept another time. */
export async function sweepDatastores({ store, backends, log }: SweepParts): Promise<void> {
  for (const [datastore, backend] of backends) {
    try {
      const swept = await backend.sweep(() => currentExtents(store, datastore));
      if (swept.length > 0) log.info('leftovers removed', { datastore, files: swept.length });
    } catch (thrown) {
      log.warn('datastore not swept', { datastore, error: toVolumeError(thrown).message });
    }
  }
}
