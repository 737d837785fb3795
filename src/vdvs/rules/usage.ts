import { z } from 'zod';
import type { Store } from '../../etcd/store.ts';
import type { VolumeId } from '../types.ts';
import { groupOfName } from './group-names.ts';
import { rulesKeys } from './keys.ts';
import { defaultGroup } from './types.ts';

/** What counts of a record; a disk on its way in or out counts like any other. */
const sizedSchema = z.object({ options: z.object({ sizeBytes: z.number() }) });
const chargeSchema = z.object({ v: z.literal(1), group: z.string() });

/** Volumes and snapshots have records of one form. */
const kinds = ['/vdvs/volumes/', '/vdvs/snapshots/'] as const;
const snapshotEnd = /-\d{6}$/;

/** The volume in the common name space whose charge a disk there, it or a snapshot of it, goes by. */
export function chargedVolume({ datastore, name }: VolumeId): VolumeId {
  return { datastore, name: name.replace(snapshotEnd, '') };
}

/** ID of the group that pays for a volume in the common name space, or for its snapshots. */
export async function readCharge(store: Store, id: VolumeId): Promise<string> {
  const parsed = chargeSchema.safeParse((await store.get(rulesKeys.charge(chargedVolume(id))))?.value);
  return parsed.success ? parsed.data.group : defaultGroup;
}

/** One disk that takes up of somebody's quota. */
export interface CountedDisk {
  readonly id: VolumeId;
  readonly group: string;
  readonly sizeBytes: number;
}

/** All disks of one datastore, or of all, with the group that pays for each. A constant number of reads. */
export async function countDisks(store: Store, datastore?: string): Promise<CountedDisk[]> {
  const below = datastore === undefined ? '' : `${datastore}/`;
  const [charges, ...lists] = await Promise.all([
    store.list(datastore === undefined ? '/vdvs/charges/' : rulesKeys.charges(datastore)),
    ...kinds.map((kind) => store.list(`${kind}${below}`)),
  ]);
  const charged = new Map(
    charges.entries.flatMap(({ key, value }) => {
      const parsed = chargeSchema.safeParse(value);
      return parsed.success ? [[key, parsed.data.group] as const] : [];
    }),
  );
  return lists.flatMap(({ entries }) =>
    entries.flatMap(({ key, value }) => {
      const [, , , on = '', name = ''] = key.split('/');
      const parsed = sizedSchema.safeParse(value);
      if (!parsed.success) return [];
      const payer = charged.get(rulesKeys.charge(chargedVolume({ datastore: on, name }))) ?? defaultGroup;
      return [
        {
          id: { datastore: on, name },
          group: groupOfName(name) ?? payer,
          sizeBytes: parsed.data.options.sizeBytes,
        },
      ];
    }),
  );
}
