import type { VolumeId } from './types.ts';

/** Where vDVS's records are in the store. Neither datastore nor volume names contain `/`. */
export const vdvsKeys = {
  volumes: '/vdvs/volumes/',
  volume: (id: VolumeId) => `/vdvs/volumes/${id.datastore}/${id.name}`,
  attachments: '/vdvs/attachments/',
  attachment: (id: VolumeId) => `/vdvs/attachments/${id.datastore}/${id.name}`,
  /** Snapshots have records like volumes, under their own names (`<volume>-000001`). */
  snapshots: '/vdvs/snapshots/',
  snapshot: (id: VolumeId) => `/vdvs/snapshots/${id.datastore}/${id.name}`,
  /** On the lease of the service that is copying this disk now. */
  copying: (id: VolumeId) => `/vdvs/copying/${id.datastore}/${id.name}`,
  /** Written when there is something for a node to do with a volume that it has attached. */
  wake: (node: string) => `/vdvs/wakes/${node}`,
} as const;

/**
 * The volume or snapshot of a key below `vdvsKeys.volumes`, `vdvsKeys.attachments` or `vdvsKeys.snapshots`; `undefined` for a
 * key of another form.
 */
export function parseVdvsKey(key: string): VolumeId | undefined {
  const [, , kind, datastore, name, ...rest] = key.split('/');
  if (!['volumes', 'attachments', 'snapshots'].includes(kind ?? '')) return undefined;
  if (!datastore || !name || rest.length > 0) return undefined;
  return { datastore, name };
}
