import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import { createKeyedQueue } from '../../lib/keyed-queue.ts';
import type { Log } from '../../lib/log.ts';
import type { MountEntry } from '../../lib/mountinfo.ts';
import type { VolumeDriver } from '../../plugin/volume-driver.ts';
import type { EngineContainers } from '../../swarm/swarm.ts';
import type { GrowClient } from '../disk-clients.ts';
import type { GuardClient } from '../guard/guard-client.ts';
import type { ServiceClient } from '../service-client.ts';
import type { VolumeId } from '../types.ts';
import { type BlockVolumeParts, createBlockVolumes } from './block-volumes.ts';
import { createDefaultDatastore } from './default-datastore.ts';
import { createDeferred } from './deferred.ts';
import { createEndUse, withoutDisk } from './end-use.ts';
import { createGrants } from './grants.ts';
import { createGrowMount, runGrowLoop } from './grow.ts';
import { createHandOvers } from './hand-over.ts';
import type { MountTable } from './mount-table.ts';
import type { Placeholders } from './placeholder.ts';
import { createReconciler } from './reconcile.ts';
import { createVdvsDriver } from './vdvs-driver.ts';

/** What the node's side of vDVS is made of. */
export interface VdvsNodeParts extends Omit<BlockVolumeParts, 'onUncertain' | 'guard' | 'grow' | 'grants'> {
  readonly client: ServiceClient;
  readonly growClient: GrowClient;
  readonly guard: GuardClient;
  readonly table: MountTable;
  readonly placeholders: Placeholders;
  readonly engine: EngineContainers;
  readonly readMounts: () => Promise<MountEntry[]>;
  readonly nodeId: () => Promise<string>;
  /** Of names without one: below vFile's volumes, and where the service is too old to know the vmgroup's. */
  readonly configuredDatastore: string;
  readonly attachMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** The driver, once what an earlier life left is in order; and its end. */
export interface VdvsNode {
  readonly driver: VolumeDriver;
  /** Shuts down and detaches what is still in use, for the end of the plugin. */
  closeAll(): Promise<void>;
  stop(): void;
}

/** Puts things right, then serves. Resolves when calls may come. */
export async function startVdvsNode(parts: VdvsNodeParts): Promise<VdvsNode> {
  const { guard, table, log } = parts;
  const queue = createKeyedQueue();
  const late: { uncertain: (id: VolumeId) => void } = {
    uncertain: () => undefined,
  };
  const grow = createGrowMount({ ...parts, client: parts.growClient });
  const onUncertain = (id: VolumeId) => late.uncertain(id);
  const grants = createGrants({ ...parts, onUncertain });
  const volumes = createBlockVolumes({ ...parts, grants, grow, onUncertain });
  const leaseSignal = () => guard.leaseSignal();
  const handOvers = createHandOvers({ ...parts, volumes, queue });
  const onAttached = handOvers.follow;
  const deferred = createDeferred({ ...parts, grants, volumes, queue, leaseSignal, onUncertain, onAttached });
  const endUse = createEndUse({ ...parts, volumes, deferred });
  const reconciler = createReconciler({ ...parts, grants, volumes, deferred, endUse, queue });
  late.uncertain = reconciler.uncertain;

  await reconciler.recover(await guard.settled());
  guard.onFenced((reason) => {
    if (table.all().length === 0) return;
    log.error('lease lost, all volumes of this node were shut down', { reason });
    reconciler
      .afterFence()
      .catch((thrown) => log.error('clearing up', { error: toVolumeError(thrown).message }));
  });
  for (const use of table.uses()) deferred.wait(use);
  for (const mount of table.all()) if (mount.deferred) handOvers.resume(mount);
  const stop = new AbortController();
  void reconciler.run(stop.signal);
  void runGrowLoop({ ...parts, client: parts.growClient, grow, queue }, stop.signal);

  const defaultDatastore = createDefaultDatastore({ ...parts, configured: parts.configuredDatastore });
  const driver = createVdvsDriver({
    ...parts,
    ...{ defaultDatastore, volumes, deferred, endUse, queue, leaseSignal },
  });
  return {
    driver,
    async closeAll() {
      stop.abort();
      deferred.stop();
      handOvers.stop();
      await Promise.all(
        table.all().map((mount) =>
          (mount.deferred ? volumes.handOver(mount) : volumes.abandon(mount))
            // The next start goes on waiting for those containers that live until then.
            .then(() => (mount.deferred ? table.put(withoutDisk(mount)) : table.delete(mount)))
            .catch((thrown) => log.warn('not closed', { error: toVolumeError(thrown).message })),
        ),
      );
    },
    stop() {
      stop.abort();
      deferred.stop();
      handOvers.stop();
    },
  };
}
