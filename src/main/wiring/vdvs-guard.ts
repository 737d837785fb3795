import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../etcd/etcd-store.ts';
import { systemClock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import { hostPort } from '../../lib/host-port.ts';
import { KeptPrograms } from '../../lib/kept-programs.ts';
import { endIfLoadOnly } from '../../lib/load-only.ts';
import { createLog } from '../../lib/log.ts';
import { parseMountinfo } from '../../lib/mountinfo.ts';
import { createSwarmCertificates } from '../../lib/swarm-certificates.ts';
import { createFence } from '../../vdvs/guard/fence.ts';
import { createNodeGuard, type NodeGuard } from '../../vdvs/guard/guard.ts';
import { createGuardStateFile } from '../../vdvs/guard/guard-state.ts';
import { createMainProcess, type Forked } from '../../vdvs/guard/main-process.ts';
import { disksBelow } from '../../vdvs/node/mountinfo.ts';
import { readPluginSettings } from '../../vdvs/settings.ts';

/** ms for the main process to close all volumes; the engine kills the plugin 10 s after it asked it to end. */
const closeMs = 6_500;

/**
 * First process of the vDVS plugin: holds the node's lease and shuts file systems down when it cannot.
 * @param fork starts the main process; `first` is the one that was started before this module was loaded.
 */
export async function runVdvsGuard(first: Forked, fork: () => Forked): Promise<void> {
  endIfLoadOnly();
  const settings = readPluginSettings(process.env);
  const clock = systemClock;
  const log = createLog({ ...settings.log, process: 'vdvs-guard' });
  const stateFile = createGuardStateFile(join(settings.stateFolder, 'guard.json'));
  const here: { guard: NodeGuard | undefined; endpoints: readonly string[] } = {
    guard: undefined,
    endpoints:
      settings.managers?.map((host) => hostPort(host, settings.etcdClientPort)) ??
      stateFile.read()?.endpoints ??
      [],
  };

  const mainProcess = createMainProcess({
    first,
    fork,
    onEndpoints: (endpoints) => {
      here.endpoints = endpoints;
    },
    clock,
    log,
  });
  mainProcess.start(() => here.guard);

  const identity = createSwarmCertificates({ directory: settings.certificates, clock, log });
  const store = openStore({
    identity,
    endpoints: async () => {
      if (here.endpoints.length > 0) return here.endpoints;
      throw new VolumeError('unavailable', 'the engine has not told yet where the managers are');
    },
    clock,
    log,
    requestTimeoutMs: 3_000,
  });
  const guard = createNodeGuard({
    store,
    fence: createFence(new KeptPrograms(2).prepare()),
    state: stateFile,
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    leftovers: () =>
      disksBelow(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), settings.mountRoot).map(
        ({ mountPoint, source }) => ({ mountpoint: mountPoint, device: source }),
      ),
    leaseMs: settings.leaseMs,
    marginMs: settings.fenceMarginMs,
    endpoints: () => here.endpoints,
    hostMs: () => Number(process.hrtime.bigint() / 1_000_000n),
    tell: mainProcess.tell,
    clock,
    log,
  });
  here.guard = guard;

  const stop = new AbortController();
  const running = guard.run(stop.signal);
  const ending = { begun: false };
  const end = async (why: string) => {
    if (ending.begun) return;
    ending.begun = true;
    log.info('ending', { why });
    await mainProcess.stop(closeMs);
    stop.abort();
    await guard.end(why);
    await Promise.race([running, clock.sleep(500)]);
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void end(signal));
  await running;
}
