import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { DatastoreBackend } from '../backends/backend.ts';

/** Deletes what interrupted work left in the datastores. Never throws: one that is not there now is swept another time. */
export async function sweepDatastores(
  backends: ReadonlyMap<string, Pick<DatastoreBackend, 'sweep'>>,
  log: Log,
): Promise<void> {
  for (const [datastore, backend] of backends) {
    try {
      const swept = await backend.sweep();
      if (swept.length > 0) log.info('leftovers removed', { datastore, files: swept.length });
    } catch (thrown) {
      log.warn('datastore not swept', { datastore, error: toVolumeError(thrown).message });
    }
  }
}
