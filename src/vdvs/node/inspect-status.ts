import type { VolumeView } from '../api.ts';
import { renderSize } from '../sizes.ts';

/**
 * What `docker volume inspect` shows under `Status`; keys as users know them. Pure.
 * @param waiting why containers of this host have no disk yet.
 */
export function inspectStatus(
  { record, attached, allocatedBytes }: VolumeView,
  waiting?: string,
): Record<string, unknown> {
  const { options } = record;
  return {
    access: options.access,
    'attach-as': options.attachAs,
    attach: options.attach ?? 'at-once',
    capacity: {
      size: renderSize(options.sizeBytes),
      allocated: allocatedBytes === undefined ? 'unknown' : renderSize(allocatedBytes),
    },
    'clone-from': options.cloneFrom ?? 'None',
    created: record.createdAt,
    'created by VM': record.createdBy,
    datastore: record.datastore,
    diskformat: options.diskformat,
    fstype: options.fstype,
    status: attached ? 'attached' : 'detached',
    ...(attached ? { 'attached to VM': attached.host, 'attached since': attached.since } : {}),
    'vsan-policy-name': options.policy ?? 'None',
    ...(waiting === undefined ? {} : { waiting }),
    ...(record.growing
      ? { growing: 'the file system is smaller than the disk until its host has grown it' }
      : {}),
  };
}
