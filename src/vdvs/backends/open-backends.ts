import type { DatastoreBackend } from './backend.ts';
import { createFolderBackend } from './folder/folder-backend.ts';

/** A backend for each datastore of the settings. */
export function openBackends(datastores: ReadonlyMap<string, string>): ReadonlyMap<string, DatastoreBackend> {
  return new Map(
    [...datastores].map(([datastore, path]) => [datastore, createFolderBackend({ datastore, path })]),
  );
}
