import { mkdir } from 'node:fs/promises';
import { hostname, networkInterfaces } from 'node:os';
import { openStore } from '../etcd/etcd-store.ts';
import { createMirror } from '../etcd/list-watch-mirror.ts';
import { GaneshaLauncher } from '../fileserver/ganesha-process.ts';
import { holdPort } from '../fileserver/hold-port.ts';
import { createReplyPermit } from '../fileserver/reply-permit.ts';
import { readFileServerSettings } from '../fileserver/settings.ts';
import { Supervisor } from '../fileserver/supervisor.ts';
import { openVolumeFiles } from '../fileserver/volume-files.ts';
import { systemClock as clock } from '../lib/clock.ts';
import { errorTraits, toVolumeError } from '../lib/errors.ts';
import { hostPort } from '../lib/host-port.ts';
import { KeptPrograms } from '../lib/kept-programs.ts';
import { endIfLoadOnly } from '../lib/load-only.ts';
import { createLog } from '../lib/log.ts';
import { nfsNull } from '../lib/nfs-null.ts';
import { createSwarmCertificates } from '../lib/swarm-certificates.ts';
import { version } from '../lib/version.ts';
import { findDiskHold, followDiskHold } from '../vdvs/disk-hold.ts';
import { vdvsKeys } from '../vdvs/keys.ts';

/** Ends the process at this long after it was asked to, whatever still hangs: a dead disk, an unreachable store. In ms. */
const lastResortMs = 9_000;

/** Swarm starts a failed task again at once; what the next will not find changed either must not spin. In ms. */
const hopelessPauseMs = 5_000;

/** One volume's file server: the only process in its container besides ganesha. */
async function main(): Promise<number> {
  endIfLoadOnly();
  const settings = readFileServerSettings(process.env);
  const base = createLog({
    level: settings.logLevel,
    process: 'file-server',
    maxSizeMb: 10,
    maxFiles: 5,
    maxAgeDays: 28,
  });
  const log = base.child({ volume: settings.volume, node: settings.nodeId });
  log.info('starting', { version });
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    log.info(`${signal}: stopping`);
    setTimeout(() => process.exit(errorTraits.timeout.exitCode), lastResortMs).unref();
    stop.abort();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);

  await mkdir(settings.runDir, { recursive: true });
  const identity = createSwarmCertificates({ directory: settings.certificates, clock, log });
  // A member on this very host first: of the others one may just have lost power, which costs a second to find out.
  const own = new Set(
    Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map((one) => one.address)),
  );
  const endpoints = [...settings.managers]
    .sort((a, b) => Number(own.has(b)) - Number(own.has(a)))
    .map((address) => hostPort(address, settings.etcdClientPort));
  const store = openStore({
    identity,
    endpoints: async () => endpoints,
    clock,
    log,
    requestTimeoutMs: Math.min(5_000, settings.leaseMs),
  });
  const permit = createReplyPermit(settings.runDir, clock);
  const supervisor = new Supervisor({
    settings,
    store,
    createMirror: (prefix) => createMirror({ store, prefix, clock, log }),
    findDisk: (baseVolume) => findDiskHold(store, baseVolume, settings.nodeId),
    followDisk: (baseVolume, told) => {
      const attachments = createMirror({ store, prefix: vdvsKeys.attachments, clock, log });
      const unfollow = followDiskHold(attachments, baseVolume, settings.nodeId, told);
      return () => {
        unfollow();
        attachments.stop();
      };
    },
    launcher: new GaneshaLauncher({ command: ['ganesha.nfsd'], runDir: settings.runDir, log }),
    files: openVolumeFiles({
      exportRoot: settings.exportRoot,
      host: hostname(),
      run: new KeptPrograms(1).prepare().run,
      clock,
      log,
    }),
    nfsNull,
    holdPort,
    permit,
    clock,
    log,
  });
  try {
    await supervisor.run(stop.signal);
    log.info('stopped');
    return 0;
  } catch (thrown) {
    const error = toVolumeError(thrown);
    log.error(`cannot serve: ${error.message}`, { code: error.code });
    if (!error.retry) await clock.sleep(hopelessPauseMs, stop.signal).catch(() => undefined);
    return errorTraits[error.code].exitCode;
  } finally {
    permit.close();
    identity.stop();
    await store.close().catch(() => undefined);
  }
}

main().then(
  // A write that hangs in the kernel must not keep the process: ganesha is dead or dies with this container.
  (exitCode) => process.exit(exitCode),
  (thrown: unknown) => {
    console.error(toVolumeError(thrown).message);
    process.exit(errorTraits[toVolumeError(thrown).code].exitCode);
  },
);
