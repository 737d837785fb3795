import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { openStore } from '../../etcd/etcd-store.ts';
import { createMirror } from '../../etcd/list-watch-mirror.ts';
import { systemClock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import { run } from '../../lib/exec.ts';
import { endIfLoadOnly } from '../../lib/load-only.ts';
import { createLog } from '../../lib/log.ts';
import { ownMounts } from '../../lib/mountinfo.ts';
import { nfsNull } from '../../lib/nfs-null.ts';
import { createSwarmCertificates } from '../../lib/swarm-certificates.ts';
import { version } from '../../lib/version.ts';
import type { EarlySocket } from '../../plugin/early-socket.ts';
import { lossOfSight } from '../../plugin/engine-sight.ts';
import { createVolumePluginServer } from '../../plugin/volume-plugin-server.ts';
import { createDockerPlugins } from '../../swarm/docker-plugins.ts';
import { createDockerSwarm } from '../../swarm/docker-swarm.ts';
import { vfileKeys } from '../../vfile/keys.ts';
import type { Serving } from '../../vfile/node/decide-target.ts';
import { KeptWriters } from '../../vfile/node/kept-writers.ts';
import { createKnownDriver } from '../../vfile/node/known-driver.ts';
import { createLocalNodeSource } from '../../vfile/node/local-node.ts';
import { readMountTable } from '../../vfile/node/mount-table.ts';
import { kernelCanRetarget, prepareNfsClient } from '../../vfile/node/nfs-client.ts';
import { createNfsMounter } from '../../vfile/node/nfs-mount.ts';
import { readNodeSettings } from '../../vfile/node/node-settings.ts';
import { openNodeState } from '../../vfile/node/node-state.ts';
import { createParking } from '../../vfile/node/parking.ts';
import { createRetargeter } from '../../vfile/node/retarget.ts';
import { type NodeParts, startNode } from '../../vfile/node/start-node.ts';
import { createTransports } from '../../vfile/node/transports.ts';
import { readVfileSettings, settingsFile } from '../../vfile/settings.ts';

const certificatePauseMs = 1_000;
const mirrorWaitMs = 5_000;

/** The vFile plugin of one node: first the socket, then the parking places, then everything that needs others. */
export async function runVfilePlugin(socket: EarlySocket): Promise<void> {
  endIfLoadOnly();
  const settings = readVfileSettings(process.env, await readFile(settingsFile, 'utf8').catch(() => ''));
  const paths = readNodeSettings(process.env);
  const clock = systemClock;
  const log = createLog({ ...settings.log, process: 'vfile-plugin' });
  const { mountRoot, sysfs } = paths;

  const mounter = createNfsMounter({
    run,
    clock,
    log,
    mountRoot,
    mountTable: readMountTable,
    extraOptions: paths.nfsOptions,
  });
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown');
  const state = await openNodeState({
    path: join(dirname(mountRoot), '.state.json'),
    boot: boot.trim(),
    log,
  });
  const mounted = await mounter.mounted();
  const known = createKnownDriver({
    clock,
    known: () => state.memory.known,
    path: (volume) => (mounted.some((mount) => mount.volume === volume) ? mounter.pathOf(volume) : ''),
  });
  const server = createVolumePluginServer({
    driver: known.driver,
    socket,
    log,
    scope: 'global',
  });
  await server.listen();

  const stop = new AbortController();
  const servingSlot: { serving: (volume: string) => Serving } = {
    serving: () => ({ known: false, reason: 'the plugin has only just started' }),
  };
  const resumedSlot: NodeParts['resumedSlot'] = { resumed: () => undefined };
  const parking = createParking({ log });
  const writer = new KeptWriters();
  writer.prepare();
  const retargeter = createRetargeter({
    transports: createTransports({ writer, switches: join(sysfs, 'kernel/sunrpc/xprt-switches') }),
    parking,
    serving: (volume) => servingSlot.serving(volume),
    nfsNull,
    clock,
    log,
    resumed: (...what) => resumedSlot.resumed(...what),
    remember: (volume, port, transports) => {
      const { [volume]: _gone, ...others } = state.memory.inUse;
      state.update({ inUse: transports ? { ...others, [volume]: { port, transports } } : others });
    },
  });
  for (const [volume, { port, transports }] of Object.entries(state.memory.inUse)) {
    void retargeter.track(volume, port, transports);
  }
  for (const { volume, port } of mounted) {
    if (!retargeter.tracks(volume)) void retargeter.track(volume, port);
  }

  const ends: (() => Promise<void>)[] = [];
  const shutDown = (why: string, exitCode: number): void => {
    if (stop.signal.aborted) return;
    log.info('stopping; mounts stay', { why });
    stop.abort();
    // Nothing here is worth waiting for: the next process goes on from mounts and records.
    setTimeout(() => process.exit(exitCode), 1_500).unref();
    Promise.allSettled([server.close(), ...ends.map((end) => end()), state.saved()]).then(() =>
      process.exit(exitCode),
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => shutDown(signal, 0));

  lossOfSight({
    root: mountRoot,
    mounts: ownMounts,
    engine: createDockerPlugins({ socketPath: settings.dockerSocket, clock, log }),
    clock,
    log,
    signal: stop.signal,
  }).then(
    (why) => {
      log.error('starting again', { why });
      shutDown(why, 1);
    },
    () => undefined,
  );
  const swarm = createDockerSwarm({ socketPath: settings.dockerSocket, log });
  const node = createLocalNodeSource({
    swarm,
    state,
    clock,
    log,
    signal: stop.signal,
    etcdPort: settings.etcdClientPort,
    setWaitingFor: known.setWaitingFor,
  });
  const identity = createSwarmCertificates({ directory: settings.certificates, clock, log });
  const nodeId = await (async () => {
    for (;;) {
      try {
        return (await identity.current()).nodeId;
      } catch (thrown) {
        known.setWaitingFor(`this node's certificate (${toVolumeError(thrown).message})`);
        await clock.sleep(certificatePauseMs, stop.signal);
      }
    }
  })();
  identity.onChange((now) => {
    if (now.nodeId !== nodeId) shutDown('this node has joined a Swarm under another ID', 1);
  });

  let problems: readonly string[] = [];
  const preparing = prepareNfsClient({
    run,
    log,
    sysfs,
    kernelRelease: release(),
    nodeId,
    anyDirectory: mountRoot,
  }).then((found) => {
    problems = found;
    for (const problem of found) log.error(problem);
  });
  await node.known();
  const store = openStore({ identity, endpoints: node.endpoints, clock, log, requestTimeoutMs: 5_000 });
  const mirror = createMirror({ store, prefix: vfileKeys.volumes, clock, log });
  while (!stop.signal.aborted) {
    try {
      await mirror.ready(mirrorWaitMs);
      break;
    } catch {
      known.setWaitingFor(`etcd (${mirror.problem ?? 'it has not answered yet'})`);
    }
  }
  await preparing;
  const endNode = await startNode({
    settings,
    store,
    mirror,
    node,
    state,
    mounter,
    retargeter,
    engine: swarm,
    known,
    servingSlot,
    resumedSlot,
    problems: () => problems,
    canRetarget: () => kernelCanRetarget(release()) && problems.length === 0,
    version,
    clock,
    log,
    signal: stop.signal,
  });
  ends.push(endNode);
}
