import type { Mirror } from '../etcd/mirror.ts';
import type { Condition, Entry, Store } from '../etcd/store.ts';
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
    const { id, attachment } = attachedTo({ key, value }, name, node) ?? {};
    if (!id || !attachment) continue;
    const volume = volumeRecordSchema.safeParse((await store.get(vdvsKeys.volume(id)))?.value).data;
    // Each grant has the next epoch, so this names the holder before and none earlier.
    const givenBack = volume?.epoch === attachment.epoch && volume.cleanEpoch === attachment.epoch - 1;
    return { lease, condition: { key, createRevision }, givenBack };
  }
  return undefined;
}

/**
 * Tells whether a node has the disk of this name, or is being given it, now and each time that it changes: its record is there
 * before the disk is attached.
 * @param attachments mirror of `vdvsKeys.attachments`.
 * @returns the way to stop.
 */
export function followDiskHold(
  attachments: Mirror,
  name: string,
  node: string,
  told: (ours: boolean) => void,
): () => void {
  let before = false;
  const look = (): void => {
    const ours = [...attachments.entries.values()].some((entry) => attachedTo(entry, name, node));
    if (ours === before) return;
    before = ours;
    told(ours);
  };
  const unfollow = attachments.onChange(look);
  look();
  return unfollow;
}

/** What a record says of this disk when it is attached to this node. */
function attachedTo({ key, value }: Pick<Entry, 'key' | 'value'>, name: string, node: string) {
  const id = parseVdvsKey(key);
  // A group's own name space comes before the name.
  if (!id || (id.name !== name && !id.name.endsWith(`+${name}`))) return undefined;
  const attachment = attachmentSchema.safeParse(value).data;
  return attachment?.node === node ? { id, attachment } : undefined;
}
