import { VolumeError } from '../../lib/errors.ts';
import { createDiskAdminClient } from '../../vdvs/disk-clients.ts';
import type { ServiceClientParts } from '../../vdvs/service-caller.ts';
import { createServiceClient } from '../../vdvs/service-client.ts';
import type { GrowBase } from '../../vfile/resize-volume.ts';

/** Base volumes on vDVS, grown through its service. @param parts with a manager's certificate. */
export function createBaseGrowth(parts: ServiceClientParts): GrowBase {
  const [client, disks] = [createServiceClient(parts), createDiskAdminClient(parts)];
  return async (baseVolume, size) => {
    // Its name alone does not tell the datastore: that was the default one of the node which made it.
    const found = (await client.list()).filter(({ record }) => record.name === baseVolume);
    const [one, another] = found;
    if (!one) throw new VolumeError('not_found', `vDVS has no volume ${baseVolume}`);
    if (another) {
      throw new VolumeError(
        'conflict',
        `vDVS has volumes ${baseVolume} on the datastores ${found.map(({ record }) => record.datastore).join(', ')}; use vdvs volume resize`,
      );
    }
    const { record } = await disks.resize({ datastore: one.record.datastore, name: baseVolume }, size);
    return { growing: record.growing ?? false };
  };
}
