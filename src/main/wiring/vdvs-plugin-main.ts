import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import { createFailurePoint, failureFiles } from '../../lib/failure-point.ts';
import { hostPort } from '../../lib/host-port.ts';
import { KeptPrograms } from '../../lib/kept-programs.ts';
import { endIfLoadOnly } from '../../lib/load-only.ts';
import { createLog } from '../../lib/log.ts';
import { ownMounts } from '../../lib/mountinfo.ts';
import { createSwarmCertificates } from '../../lib/swarm-certificates.ts';
import type { EarlySocket } from '../../plugin/early-socket.ts';
import { lossOfSight } from '../../plugin/engine-sight.ts';
import { isConnectionMessage } from '../../plugin/passed-socket.ts';
import { createVolumePluginServer } from '../../plugin/volume-plugin-server.ts';
import { createDockerPlugins } from '../../swarm/docker-plugins.ts';
import { createDockerSwarm } from '../../swarm/docker-swarm.ts';
import { createGrowClient } from '../../vdvs/disk-clients.ts';
import { createGuardClient } from '../../vdvs/guard/guard-client.ts';
import { createHttpsJson } from '../../vdvs/https-json.ts';
import { createManagers } from '../../vdvs/managers.ts';
import { createManagersFile } from '../../vdvs/managers-file.ts';
import { createFilesystems } from '../../vdvs/node/filesystems.ts';
import { createLoopDevices } from '../../vdvs/node/loop-devices.ts';
import { openMountTable } from '../../vdvs/node/mount-table.ts';
import { createPlaceholders } from '../../vdvs/node/placeholder.ts';
import { createReleaseNotes } from '../../vdvs/node/release-notes.ts';
import { startVdvsNode } from '../../vdvs/node/start-node.ts';
import { createServiceClient } from '../../vdvs/service-client.ts';
import { readPluginSettings } from '../../vdvs/settings.ts';

/** The main process of the vDVS plugin, child of the guard: first the socket, then everything that needs others. */
export async function runVdvsPlugin(socket: EarlySocket): Promise<void> {
  endIfLoadOnly();
  const settings = readPluginSettings(process.env);
  const clock = systemClock;
  const log = createLog({ ...settings.log, process: 'vdvs-plugin' });
  // Without the guard nothing may be mounted; a new guard starts a new main process.
  process.once('disconnect', () => process.exit(1));
  const server = createVolumePluginServer({ socket, log, scope: 'global' });
  await server.listen();

  // Before anything that takes time: what the guard says while nobody listens is lost.
  const guard = createGuardClient({
    channel: {
      send: (message) => void process.send?.(message),
      onMessage: (callback) =>
        void process.on('message', (message) => {
          if (!isConnectionMessage(message)) callback(message);
        }),
    },
    clock,
    log,
  });
  const swarm = createDockerSwarm({ socketPath: settings.dockerSocket, log });
  const memory = createManagersFile(join(settings.stateFolder, 'managers.json'));
  const tellGuard = (addresses: readonly string[]) =>
    guard.endpoints(addresses.map((host) => hostPort(host, settings.etcdClientPort)));
  const remembered = memory.read();
  if (remembered.length > 0) tellGuard(remembered);
  const managers = createManagers({
    local: () => swarm.local(),
    fixed: settings.managers,
    remembered,
    onChange: (addresses) => {
      memory.write(addresses);
      tellGuard(addresses);
    },
    clock,
  });
  const identity = createSwarmCertificates({ directory: settings.certificates, clock, log });
  const service = {
    https: createHttpsJson({ identity }),
    endpoints: async () => (await managers.addresses()).map((host) => ({ host, port: settings.servicePort })),
    onUnreachable: managers.suspect,
    host: hostname(),
    clock,
  };
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const table = await openMountTable({ path: join(settings.stateFolder, 'mounts.json'), bootId, log });

  server.setWaitingFor('the guard to say what became of the volumes of an earlier start');
  // The guard learns from here where etcd is; the engine answers some time after its plugins have started.
  const findManagers = async () => {
    for (;;) {
      const known = await managers.addresses().then(
        () => true,
        (thrown) => {
          log.debug('managers', { error: toVolumeError(thrown).message });
          return false;
        },
      );
      await clock.sleep(known ? 15_000 : 1_000);
    }
  };
  void findManagers();

  // A mount needs two at a time.
  const { run } = new KeptPrograms(2).prepare();
  const node = await startVdvsNode({
    client: createServiceClient(service),
    growClient: createGrowClient(service),
    guard,
    table,
    loops: createLoopDevices({ run, clock }),
    filesystems: createFilesystems({ run, mountOptions: settings.mountOptions }),
    releaseNotes: createReleaseNotes({ run, log }),
    engine: swarm,
    readMounts: ownMounts,
    placeholders: createPlaceholders({ run, readMounts: ownMounts }),
    nodeId: async () => (await identity.current()).nodeId,
    mountRoot: settings.mountRoot,
    datastores: settings.datastores,
    configuredDatastore: settings.defaultDatastore,
    attachMs: settings.attachMs,
    clock,
    log,
    // With the guard, or that would go on at once.
    failAt: createFailurePoint(settings.failAt, failureFiles.plugin, () => {
      process.kill(process.ppid, 'SIGKILL');
      process.kill(process.pid, 'SIGKILL');
    }),
  });
  guard.onStop(() => {
    log.info('stopping: closing all volumes');
    void server.close();
    void node.closeAll().then(() => guard.stopped());
  });
  server.attach(node.driver);

  const why = await lossOfSight({
    root: settings.mountRoot,
    mounts: ownMounts,
    engine: createDockerPlugins({ socketPath: settings.dockerSocket, clock, log }),
    clock,
    log,
  });
  log.error('starting again', { why });
  // The whole plugin: only the engine can give it another propagated mount.
  process.kill(process.ppid, 'SIGTERM');
}
