import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { AdminData } from '../admin/admin-data.ts';
import { type AdminOrders, type AdminServer, startAdminServer } from '../admin/admin-server.ts';
import { createMetrics } from '../admin/metrics.ts';
import { createElection } from '../etcd/election.ts';
import { openStore } from '../etcd/etcd-store.ts';
import { followEtcdLeader } from '../etcd/leader-watch.ts';
import { createMirror } from '../etcd/list-watch-mirror.ts';
import { ClusterAdmin } from '../etcd/member/cluster-admin.ts';
import { systemClock as clock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import { endIfLoadOnly } from '../lib/load-only.ts';
import { createLog } from '../lib/log.ts';
import type { NodeIdentity } from '../lib/node-identity.ts';
import { followStopOrder } from '../lib/stop-order.ts';
import { createSwarmCertificates } from '../lib/swarm-certificates.ts';
import { createDockerSwarm } from '../swarm/docker-swarm.ts';
import { createHttpsJson } from '../vdvs/https-json.ts';
import { readServiceSettings } from '../vdvs/service/settings.ts';
import { vfileKeys } from '../vfile/keys.ts';
import { logEvents } from '../vfile/manager/events.ts';
import { managerEndpoints } from '../vfile/manager/manager-endpoints.ts';
import { runManager } from '../vfile/manager/run-manager.ts';
import { askForMove, withdrawMove } from '../vfile/move-volume.ts';
import { resizeVolume } from '../vfile/resize-volume.ts';
import { readVfileSettings, settingsFile } from '../vfile/settings.ts';
import { createBaseGrowth } from './wiring/base-growth.ts';

const retryMs = 1_000;
/** Ends the process at this long after it was asked to, whatever still hangs; Docker kills it at 15 s. */
const lastResortMs = 12_000;

/** One manager: follows the store, serves the admin API, and acts while it leads. */
async function main(): Promise<void> {
  endIfLoadOnly();
  const settings = readVfileSettings(process.env, await readFile(settingsFile, 'utf8').catch(() => ''));
  const log = createLog({ ...settings.log, process: 'vfile-manager' });
  const stop = followStopOrder(clock, (signal) => {
    log.info(`${signal}: stopping`);
    setTimeout(() => process.exit(1), lastResortMs).unref();
  });

  const identity = createSwarmCertificates({ directory: settings.certificates, clock, log });
  const patiently = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    for (let said = ''; ; ) {
      try {
        return await work();
      } catch (thrown) {
        const { message } = toVolumeError(thrown);
        if (message !== said) log.warn(`waiting for ${what}`, { why: message });
        said = message;
        await clock.sleep(retryMs, stop.given);
      }
    }
  };
  const self: NodeIdentity = await patiently("this node's certificate", () => identity.current());

  const swarm = createDockerSwarm({ socketPath: settings.dockerSocket, log });
  const endpoints = managerEndpoints({ swarm, port: settings.etcdClientPort, log });
  const store = openStore({ identity, endpoints, clock, log, requestTimeoutMs: 5_000 });
  const mirror = (prefix: string) => createMirror({ store, prefix, clock, log });
  const mirrors = {
    volumes: mirror(vfileKeys.volumes),
    nodes: mirror(vfileKeys.nodes),
    leader: mirror(vfileKeys.leader),
  };

  const members = new ClusterAdmin({ identity, endpoints, clock, log });
  const etcdLeader = followEtcdLeader({ admin: members, clock, signal: stop.given });

  const data = new AdminData(mirrors);
  const metrics = createMetrics({ data });
  const { registry } = metrics;
  const https = createHttpsJson({ identity });
  const { servicePort } = readServiceSettings(process.env);
  const growBase = createBaseGrowth({
    https,
    endpoints: async () =>
      (await swarm.local()).managers.map(({ address }) => ({ host: address, port: servicePort })),
    host: hostname(),
    clock,
  });
  const orders: AdminOrders = {
    move: (volume, to) => askForMove({ store, clock }, volume, to),
    withdrawMove: (volume) => withdrawMove({ store }, volume),
    resize: (volume, size) => resizeVolume({ store, growBase }, volume, size),
  };
  const admin: AdminServer = await patiently('the admin port', () =>
    startAdminServer({
      data,
      orders,
      etcd: async () => {
        const cluster = await members.view(2_000);
        return { cluster, healthy: await members.healthy(cluster.answers ? cluster.members : []) };
      },
      registry,
      identity,
      port: settings.adminPort,
      log,
    }),
  );
  const toLog = logEvents(log);
  const { nodeId, clusterId } = self;
  const election = createElection({
    store,
    key: vfileKeys.leader,
    node: nodeId,
    ttlMs: settings.leaderLeaseMs,
    clock,
    log,
  });
  await runManager(
    {
      store,
      volumesMirror: mirrors.volumes,
      nodesMirror: mirrors.nodes,
      swarm,
      volumes: swarm,
      clusterId,
      self: nodeId,
      etcdLeader,
      moveEtcdLeader: (node) => members.moveLeader(node),
      settings,
      clock,
      election,
      emit: (event) => {
        toLog(event);
        metrics.observe(event);
      },
    },
    stop.given,
  );
  await stop.due;
  await admin.stop();
  https.close();
  for (const one of Object.values(mirrors)) one.stop();
  members.close();
  identity.stop();
  await store.close().catch(() => undefined);
  log.info('stopped');
}

main().then(
  () => process.exit(0),
  (thrown: unknown) => {
    console.error(toVolumeError(thrown).message);
    process.exit(1);
  },
);
