import type { Entry, Store } from '../etcd/store.ts';
import { vfileKeys } from './keys.ts';
import { volumeSpecSchema } from './types.ts';

/**
 * The node on which the shared volume above a base volume was created; `undefined` when there is none. One read, except for
 * the few whose base volume cannot have their name.
 * @throws VolumeError `unavailable` when the store does not answer.
 */
export async function creatorOfBase(store: Store, baseVolume: string): Promise<string | undefined> {
  const creator = (entry: Entry | undefined) => {
    const spec = volumeSpecSchema.safeParse(entry?.value);
    return spec.success && spec.data.baseVolume === baseVolume ? spec.data.createdBy : undefined;
  };
  const direct = creator(await store.get(vfileKeys.spec(baseVolume.replace(/^_vF_/, ''))));
  if (direct !== undefined) return direct;
  const { entries } = await store.list(vfileKeys.volumes);
  return entries.map(creator).find((node) => node !== undefined);
}
