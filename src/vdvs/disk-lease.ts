import type { Store } from '../etcd/store.ts';
import { parseVdvsKey, vdvsKeys } from './keys.ts';
import { attachmentSchema } from './types.ts';

/**
 * The lease under which a node has a disk attached; `undefined` when it has none of that name.
 * @param name of the volume, without its datastore and its group.
 * @throws VolumeError `unavailable`, `timeout` when the store does not answer.
 */
export async function findDiskLease(
  store: Pick<Store, 'list'>,
  name: string,
  node: string,
): Promise<string | undefined> {
  const { entries } = await store.list(vdvsKeys.attachments);
  return entries.find(({ key, value }) => {
    const found = parseVdvsKey(key)?.name ?? '';
    // A group's own name space comes before the name.
    const isIt = found === name || found.endsWith(`+${name}`);
    return isIt && attachmentSchema.safeParse(value).data?.node === node;
  })?.lease;
}
