import type { DatastoreBackend } from './backend.ts';
import { createFolderBackend, type FolderBackendOptions } from './folder/folder-backend.ts';

/** A backend for each datastore of the settings. */
export function openBackends(
  datastores: ReadonlyMap<string, string>,
  options: Pick<FolderBackendOptions, 'leaveBehindMs' | 'run'>,
): ReadonlyMap<string, DatastoreBackend> {
  return new Map(
    [...datastores].map(([datastore, path]) => [
      datastore,
      createFolderBackend({ datastore, path, ...options }),
    ]),
  );
}
