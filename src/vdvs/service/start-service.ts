import type { Express } from 'express';
import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import type { FailurePoint } from '../../lib/failure-point.ts';
import type { Log } from '../../lib/log.ts';
import type { NodeIdentitySource } from '../../lib/node-identity.ts';
import type { DatastoreBackend } from '../backends/backend.ts';
import { createRulesGate } from '../rules/gate.ts';
import type { NamedNode } from '../rules/group-changes.ts';
import { createTenants } from '../rules/tenants.ts';
import type { VolumeId } from '../types.ts';
import { createAdminConfig } from './admin-config.ts';
import { createAdminGroups } from './admin-groups.ts';
import { createAdminRoutes } from './admin-routes.ts';
import { createAdminVolumes } from './admin-volumes.ts';
import { createAttachments } from './attachments.ts';
import { createDiskNames } from './disk-names.ts';
import { createHttpApi } from './http-api.ts';
import { createResizing } from './resize.ts';
import { createScanner } from './scan.ts';
import type { ServiceParts } from './service-parts.ts';
import { createServiceServer, type ServiceServer } from './service-server.ts';
import { createSnapshots } from './snapshots.ts';
import { createVolumes } from './volumes.ts';

/** What the service is made of. */
export interface VdvsServiceParts {
  readonly store: Store;
  /** The first one is where hosts themselves live, as far as rules go. */
  readonly backends: ReadonlyMap<string, DatastoreBackend>;
  readonly identity: NodeIdentitySource;
  readonly host: string;
  readonly port: number;
  readonly takeoverMarginMs: number;
  /** The nodes of the Swarm. */
  readonly nodes: () => Promise<readonly NamedNode[]>;
  /** The node that created the shared volume above a base volume. */
  readonly creatorOf: (baseVolume: string) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly log: Log;
  readonly failAt?: FailurePoint;
}

/** What the API needs besides: whose disks in a datastore are this cluster's own. */
type ApiParts = Omit<VdvsServiceParts, 'identity' | 'host' | 'port'> & Pick<ServiceParts, 'cluster'>;

/** The service's API over a store and backends. */
export function createServiceApi(given: ApiParts): Express {
  const datastores = [...given.backends.keys()];
  const [hostDatastore = ''] = datastores;
  const gate = createRulesGate({ ...given, hostDatastore });
  const tenants = createTenants({ ...given, hostDatastore, remembered: gate.remembered });
  const parts: ServiceParts = { ...given, gate };
  const volumes = createVolumes(parts);
  const snapshots = createSnapshots(parts);
  const removeVolume = async (id: VolumeId) => {
    for (const snapshot of await snapshots.list(id)) await snapshots.remove(snapshot);
    await volumes.remove(id);
  };
  return createHttpApi({
    volumes,
    attachments: createAttachments(parts),
    tenants,
    admin: createAdminRoutes({
      groups: createAdminGroups({ ...given, datastores, removeVolume }),
      volumes: createAdminVolumes({ ...parts, volumes }),
      config: createAdminConfig({ ...given, datastores }),
    }),
    names: createDiskNames({ ...given, tenants }),
    disks: {
      resizing: createResizing(parts),
      snapshots,
      scanner: createScanner(parts),
    },
    log: given.log,
  });
}

/** The whole service; `listen` starts it. */
export function createService(parts: VdvsServiceParts): ServiceServer {
  const cluster = async () => (await parts.identity.current()).clusterId;
  return createServiceServer({ ...parts, handler: createServiceApi({ ...parts, cluster }) });
}
