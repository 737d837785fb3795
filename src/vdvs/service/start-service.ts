import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import type { FailurePoint } from '../../lib/failure-point.ts';
import type { Log } from '../../lib/log.ts';
import type { NodeIdentitySource } from '../../lib/node-identity.ts';
import type { DatastoreBackend } from '../backends/backend.ts';
import { createAttachments } from './attachments.ts';
import { plainNames } from './disk-routes.ts';
import { createHttpApi } from './http-api.ts';
import { createResizing } from './resize.ts';
import { createScanner } from './scan.ts';
import { openGate, type ServiceParts } from './service-parts.ts';
import { createServiceServer, type ServiceServer } from './service-server.ts';
import { createSnapshots } from './snapshots.ts';
import { createVolumes } from './volumes.ts';

/** The whole service over a store and backends; `listen` starts it. */
export function createService(parts: {
  store: Store;
  backends: ReadonlyMap<string, DatastoreBackend>;
  identity: NodeIdentitySource;
  host: string;
  port: number;
  takeoverMarginMs: number;
  clock: Clock;
  log: Log;
  failAt?: FailurePoint;
}): ServiceServer {
  const { identity, host, port, log } = parts;
  const service: ServiceParts = {
    ...parts,
    gate: openGate(parts.store),
    cluster: async () => (await identity.current()).clusterId,
  };
  const handler = createHttpApi({
    volumes: createVolumes(service),
    attachments: createAttachments(service),
    names: plainNames,
    disks: {
      resizing: createResizing(service),
      snapshots: createSnapshots(service),
      scanner: createScanner(service),
    },
    log,
  });
  return createServiceServer({ handler, identity, host, port, log });
}
