import type { Condition, Store } from '../etcd/store.ts';
import { parseVdvsKey, vdvsKeys } from './keys.ts';
import { attachmentSchema, volumeRecordSchema } from './types.ts';

/** How a node has a disk. */
export interface DiskHold {
  /** The lease that the attachment hangs on. */
  readonly lease: string | undefined;
  /** True for as long as the node has the disk by this attachment. */
  readonly condition: Condition;
  /** Whether the holder before unmounted the disk and gave it back: nothing on its host can use it any more. */
  readonly givenBack: boolean;
}

/**
 * How a node has a disk attached; `undefined` when it has none of that name.
 * @param name of the volume, without its datastore and its group.
 * @throws VolumeError `unavailable`, `timeout` when the store does not answer.
 */
export async function findDiskHold(
  store: Pick<Store, 'get' | 'list'>,
  name: string,
  node: string,
): Promise<DiskHold | undefined> {
  const { entries } = await store.list(vdvsKeys.attachments);
  for (const { key, value, lease, createRevision } of entries) {
    const id = parseVdvsKey(key);
    // A group's own name space comes before the name.
    if (!id || (id.name !== name && !id.name.endsWith(`+${name}`))) continue;
    const attachment = attachmentSchema.safeParse(value).data;
    if (attachment?.node !== node) continue;
    const volume = volumeRecordSchema.safeParse((await store.get(vdvsKeys.volume(id)))?.value).data;
    // Each grant has the next epoch, so this names the holder before and none earlier.
    const givenBack = volume?.epoch === attachment.epoch && volume.cleanEpoch === attachment.epoch - 1;
    return { lease, condition: { key, createRevision }, givenBack };
  }
  return undefined;
}
