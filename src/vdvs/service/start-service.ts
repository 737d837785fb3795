import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { NodeIdentitySource } from '../../lib/node-identity.ts';
import type { DatastoreBackend } from '../backends/backend.ts';
import { createAttachments } from './attachments.ts';
import { createHttpApi } from './http-api.ts';
import { createServiceServer, type ServiceServer } from './service-server.ts';
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
}): ServiceServer {
  const { identity, host, port, log } = parts;
  const handler = createHttpApi({
    volumes: createVolumes(parts),
    attachments: createAttachments(parts),
    log,
  });
  return createServiceServer({ handler, identity, host, port, log });
}
