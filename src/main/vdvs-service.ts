import { openStore } from '../etcd/etcd-store.ts';
import { systemClock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import { createFailurePoint, failureFiles } from '../lib/failure-point.ts';
import { hostPort } from '../lib/host-port.ts';
import { KeptPrograms } from '../lib/kept-programs.ts';
import { endIfLoadOnly } from '../lib/load-only.ts';
import { createLog } from '../lib/log.ts';
import { followStopOrder, outlastMs } from '../lib/stop-order.ts';
import { createSwarmCertificates } from '../lib/swarm-certificates.ts';
import { createDockerSwarm } from '../swarm/docker-swarm.ts';
import { openBackends } from '../vdvs/backends/open-backends.ts';
import { createManagers } from '../vdvs/managers.ts';
import { readServiceSettings } from '../vdvs/service/settings.ts';
import { createService } from '../vdvs/service/start-service.ts';
import { sweepDatastores } from '../vdvs/service/sweep.ts';
import { creatorOfBase } from '../vfile/creator-of.ts';

/** What is closed has so long for its end, in ms. */
const closeMs = 3_000;

/** The vDVS service of one manager. */
async function main(): Promise<void> {
  endIfLoadOnly();
  const settings = readServiceSettings(process.env);
  const clock = systemClock;
  const log = createLog({
    level: settings.logLevel,
    process: 'vdvs',
    maxSizeMb: 10,
    maxFiles: 5,
    maxAgeDays: 28,
  });
  const stop = followStopOrder(clock, (signal) => {
    log.info(`${signal}: stopping`);
    setTimeout(() => process.exit(0), outlastMs + closeMs).unref();
  });
  const identity = createSwarmCertificates({ directory: settings.certificates, clock, log });
  const swarm = createDockerSwarm({ socketPath: settings.dockerSocket, log });
  const managers = createManagers({
    local: () => swarm.local(),
    fixed: settings.managers,
    onChange: (addresses) => log.info('managers', { addresses }),
    clock,
  });
  const store = openStore({
    identity,
    endpoints: async () =>
      (await managers.addresses()).map((host) => hostPort(host, settings.etcdClientPort)),
    clock,
    log,
    requestTimeoutMs: 5_000,
  });
  const backends = openBackends(settings.datastores, {
    leaveBehindMs: settings.leaveBehindMs,
    run: new KeptPrograms(2).prepare().run,
  });
  const server = createService({
    store,
    backends,
    identity,
    host: settings.listen,
    port: settings.servicePort,
    takeoverMarginMs: settings.takeoverMarginMs,
    nodes: async () => (await swarm.nodes()).map(({ id, hostname }) => ({ id, host: hostname })),
    creatorOf: (baseVolume) => creatorOfBase(store, baseVolume),
    clock,
    log,
    failAt: createFailurePoint(settings.failAt, failureFiles.service, () =>
      process.kill(process.pid, 'SIGKILL'),
    ),
  });
  await server.listen();
  void sweepDatastores({ store, backends, log });
  await stop.due;
  await Promise.allSettled([server.close(), store.close()]);
  process.exit(0);
}

main().catch((thrown: unknown) => {
  console.error(toVolumeError(thrown).message);
  process.exit(1);
});
