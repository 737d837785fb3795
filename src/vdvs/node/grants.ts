import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Grant } from '../api.ts';
import { renderVolumeName } from '../names.ts';
import type { ServiceClient } from '../service-client.ts';
import type { VolumeId } from '../types.ts';

/** What the service grants this node, and what the node gives back. */
export interface Grants {
  /** See `ServiceClient.attach`. */
  attach(id: VolumeId, lease: string, waitMs: number): Promise<Grant>;
  /** See `ServiceClient.attachOnce`. */
  attachOnce(id: VolumeId, lease: string, waitMs: number): Promise<Grant>;
  /** Gives an attachment back, or has that done later when the service cannot be reached now. */
  giveBack(id: VolumeId, epoch: number, clean: boolean): Promise<void>;
}

/** Over the service. Only for one volume at once, but for questions that stand: see `Deferred`. */
export function createGrants({
  client,
  onUncertain,
  log,
}: {
  readonly client: Pick<ServiceClient, 'attach' | 'attachOnce' | 'detach'>;
  readonly onUncertain: (id: VolumeId) => void;
  readonly log: Log;
}): Grants {
  /** Newest epoch of each volume that this process asked the service to take back, whatever came of it. */
  const givenBack = new Map<string, number>();
  /** When each volume that was granted here was created: one that was made anew under its name begins with the first epoch. */
  const createdAt = new Map<string, string>();

  /**
   * Who asks again is granted the same epoch again while its detach has not arrived. That may be on its way still, and
   * would take away what is mounted by then: so only an epoch is used that nobody ever gave back.
   */
  const fresh = async (id: VolumeId, ask: () => Promise<Grant>): Promise<Grant> => {
    const grant = await ask();
    const key = renderVolumeName(id);
    const before = createdAt.get(key);
    createdAt.set(key, grant.record.createdAt);
    if (before !== undefined && before !== grant.record.createdAt) givenBack.delete(key);
    if (givenBack.get(key) !== grant.epoch) return grant;
    await client.detach(id, grant.epoch, false, grant.record.createdAt);
    return await ask();
  };

  return {
    attach: (id, lease, waitMs) => fresh(id, () => client.attach(id, lease, waitMs)),
    attachOnce: (id, lease, waitMs) => fresh(id, () => client.attachOnce(id, lease, waitMs)),
    async giveBack({ datastore, name }, epoch, clean) {
      const id = { datastore, name };
      const key = renderVolumeName(id);
      givenBack.set(key, epoch);
      await client.detach(id, epoch, clean, createdAt.get(key)).catch((thrown) => {
        onUncertain(id);
        log.warn('not detached yet', { volume: key, error: toVolumeError(thrown).message });
      });
    },
  };
}
