import type { VolumeId } from './types.ts';

/** Where vDVS's records are in the store. Neither datastore nor volume names contain `/`. */
export const vdvsKeys = {
  volumes: '/vdvs/volumes/',
  volume: (id: VolumeId) => `/vdvs/volumes/${id.datastore}/${id.name}`,
  attachments: '/vdvs/attachments/',
  attachment: (id: VolumeId) => `/vdvs/attachments/${id.datastore}/${id.name}`,
} as const;

/** The volume of a key below `vdvsKeys.volumes` or `vdvsKeys.attachments`; `undefined` for a key of another form. */
export function parseVdvsKey(key: string): VolumeId | undefined {
  const [, , kind, datastore, name, ...rest] = key.split('/');
  if ((kind !== 'volumes' && kind !== 'attachments') || !datastore || !name || rest.length > 0)
    return undefined;
  return { datastore, name };
}
