import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  createWriteStream,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestContext } from 'vitest';
import { openStore } from '../../../src/etcd/etcd-store.ts';
import type { Store } from '../../../src/etcd/store.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { createSwarmCertificates } from '../../../src/lib/swarm-certificates.ts';
import { openBackends } from '../../../src/vdvs/backends/open-backends.ts';
import { createDiskAdminClient, type DiskAdminClient } from '../../../src/vdvs/disk-clients.ts';
import { createHttpsJson } from '../../../src/vdvs/https-json.ts';
import { createService } from '../../../src/vdvs/service/start-service.ts';
import type { ServiceClientParts } from '../../../src/vdvs/service-caller.ts';
import { type RealEtcd, startEtcd } from '../../contract/real-etcd.ts';
import { createSwarmCa } from '../../contract/swarm-ca.ts';
import { clearHost } from './clear-host.ts';
import { dockerCall, dockerCallOk } from './docker-call.ts';

const root = resolve(import.meta.dirname, '../../..');
export const leaseMs = 5_000;

/** Waits for something that is on its way. */
export async function until<T>(what: string, look: () => T | undefined | false, ms = 20_000): Promise<T> {
  for (const end = Date.now() + ms; ; ) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await delay(20);
  }
}

/** The plugin of one node, in real processes, with mounts and sockets of its own. */
export class PluginNode {
  readonly socket: string;
  readonly mountRoot: string;
  readonly logFile: string;
  readonly #env: Record<string, string>;
  #guard: ChildProcess | undefined;

  constructor(dir: string, env: Record<string, string>) {
    mkdirSync(dir, { recursive: true });
    this.socket = join(dir, 'vdvs.sock');
    this.mountRoot = join(dir, 'mnt');
    this.logFile = join(dir, 'log');
    mkdirSync(this.mountRoot, { recursive: true });
    this.#env = {
      ...env,
      VDVS_MOUNT_ROOT: this.mountRoot,
      VDVS_STATE: join(dir, 'state'),
      VDVS_PLUGIN_SOCKET: this.socket,
    };
  }

  get guardPid(): number {
    if (this.#guard?.pid === undefined) throw new Error('not running');
    return this.#guard.pid;
  }

  /** The main process: the guard's only child that runs for long. */
  mainPid(): number | undefined {
    const children = readFileSync(`/proc/${this.guardPid}/task/${this.guardPid}/children`, 'utf8');
    return children
      .split(' ')
      .filter((pid) => pid !== '')
      .map(Number)
      .find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('vdvs-plugin-main'));
  }

  /** @param env settings of this start only. */
  async start(env: Record<string, string> = {}): Promise<void> {
    const log = createWriteStream(this.logFile, { flags: 'a' });
    await once(log, 'open');
    this.#guard = spawn(process.execPath, [join(root, 'dist/vdvs-plugin.mjs')], {
      env: { PATH: process.env.PATH ?? '', ...this.#env, ...env },
      stdio: ['ignore', log, log],
    });
    await this.activated();
  }

  /** Resolves when the socket answers. */
  async activated(): Promise<void> {
    for (const end = Date.now() + 20_000; ; ) {
      const up = await dockerCall(this.socket, 'Plugin.Activate', {}).catch(() => undefined);
      if (up) return;
      if (Date.now() > end) throw new Error(`plugin does not answer:\n${this.log()}`);
      await delay(50);
    }
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** As the loss of the plugin's container: both processes at once. */
  async killAll(): Promise<void> {
    const main = this.mainPid();
    const guard = this.#guard;
    if (!guard) return;
    const gone = once(guard, 'exit');
    guard.kill('SIGKILL');
    if (main !== undefined) process.kill(main, 'SIGKILL');
    await gone;
    this.#guard = undefined;
  }

  /** Resolves when it has died by itself. */
  async died(): Promise<void> {
    const guard = this.#guard;
    if (guard && guard.exitCode === null && guard.signalCode === null) await once(guard, 'exit');
    this.#guard = undefined;
  }

  killMain(): void {
    const pid = this.mainPid();
    if (pid === undefined) throw new Error('no main process');
    process.kill(pid, 'SIGKILL');
  }

  async terminate(): Promise<void> {
    const guard = this.#guard;
    if (!guard) return;
    const gone = once(guard, 'exit');
    guard.kill('SIGTERM');
    await gone;
    this.#guard = undefined;
  }

  signalGuard(signal: NodeJS.Signals): void {
    process.kill(this.guardPid, signal);
  }

  call(method: string, body: unknown): Promise<Record<string, unknown>> {
    return dockerCall(this.socket, `VolumeDriver.${method}`, body);
  }
  async create(name: string, options: Record<string, string> = {}): Promise<void> {
    await dockerCallOk(this.socket, 'VolumeDriver.Create', { Name: name, Opts: options });
  }
  async mount(name: string, id: string): Promise<string> {
    const answer = await dockerCallOk(this.socket, 'VolumeDriver.Mount', { Name: name, ID: id });
    return String(answer.Mountpoint);
  }
  async unmount(name: string, id: string): Promise<void> {
    await dockerCallOk(this.socket, 'VolumeDriver.Unmount', { Name: name, ID: id });
  }
  async status(name: string): Promise<Record<string, unknown>> {
    const answer = await dockerCallOk(this.socket, 'VolumeDriver.Get', { Name: name });
    return (answer.Volume as { Status: Record<string, unknown> }).Status;
  }
}

/** etcd, the vDVS service and two nodes that share a datastore folder. */
export interface World {
  readonly dir: string;
  /** Folders of the datastores `default` and `slow`. */
  readonly datastore: string;
  readonly slow: string;
  /** With a manager's certificate. */
  readonly admin: DiskAdminClient;
  readonly store: Store;
  /** For clients with a manager's certificate. */
  readonly manage: ServiceClientParts;
  /** Settings of another service beside the one that there is, but for its port. */
  readonly serviceEnv: Readonly<Record<string, string>>;
  readonly etcd: RealEtcd;
  /** Port of the service on loopback. */
  readonly servicePort: number;
  /** Where the nodes look for an engine; nobody listens there. */
  readonly engineSocket: string;
  readonly a: PluginNode;
  readonly b: PluginNode;
  /** One more node, not started. */
  another(name: string): PluginNode;
  end(): Promise<void>;
}

export async function startWorld(): Promise<World> {
  const dir = mkdtempSync(join(tmpdir(), 'vdvs-world-'));
  const ca = createSwarmCa(join(dir, 'ca'));
  const manager = ca.issue({ nodeId: 'manager1', role: 'swarm-manager' });
  const identity = createSwarmCertificates({ directory: manager, clock: systemClock, log: silentLog });
  const { tls } = await identity.current();
  const keyFile = join(dir, 'etcd.key');
  mkdirSync(join(dir, 'ds'));
  writeFileSync(keyFile, tls.key);
  const etcd = await startEtcd({
    tls: { cert: join(manager, 'swarm-node.crt'), key: keyFile, ca: join(manager, 'swarm-root-ca.crt') },
  });
  const store = openStore({
    identity,
    endpoints: async () => etcd.addresses,
    clock: systemClock,
    log: silentLog,
    requestTimeoutMs: 5_000,
  });
  const datastore = join(dir, 'ds');
  const slow = join(dir, 'slow');
  mkdirSync(slow);
  const service = createService({
    store,
    backends: openBackends(
      new Map([
        ['default', datastore],
        ['slow', slow],
      ]),
      { leaveBehindMs: 2_000 },
    ),
    identity,
    host: '127.0.0.1',
    port: 0,
    takeoverMarginMs: 500,
    nodes: async () => [],
    creatorOf: async () => undefined,
    clock: systemClock,
    log: silentLog,
  });
  const port = await service.listen();
  const engineSocket = join(dir, 'engine.sock');
  const node = (name: string) =>
    new PluginNode(join(dir, name), {
      VFILE_MANAGERS: '127.0.0.1',
      VDVS_SERVICE_PORT: String(port),
      VFILE_ETCD_CLIENT_PORT: etcd.addresses[0]?.split(':')[1] ?? '',
      VFILE_CERTIFICATES: ca.issue({ nodeId: `id-${name}`, role: 'swarm-worker' }),
      VFILE_DOCKER_SOCKET: engineSocket,
      VDVS_DATASTORES: `default=${datastore},slow=${slow}`,
      VDVS_LEASE_MS: String(leaseMs),
      VDVS_FENCE_MARGIN_MS: '1000',
      VDVS_LOG_LEVEL: 'debug',
    });
  const nodes = { a: node('a'), b: node('b') };
  const others: PluginNode[] = [];
  const https = createHttpsJson({ identity });
  const manage = {
    https,
    endpoints: async () => [{ host: '127.0.0.1', port }],
    host: 'manager1',
    clock: systemClock,
  };
  return {
    dir,
    datastore,
    slow,
    admin: createDiskAdminClient(manage),
    manage,
    serviceEnv: {
      VFILE_MANAGERS: '127.0.0.1',
      VFILE_ETCD_CLIENT_PORT: etcd.addresses[0]?.split(':')[1] ?? '',
      VFILE_CERTIFICATES: manager,
      VFILE_DOCKER_SOCKET: engineSocket,
      VDVS_DATASTORES: `default=${datastore},slow=${slow}`,
      VDVS_LISTEN: '127.0.0.1',
    },
    store,
    etcd,
    servicePort: port,
    engineSocket,
    ...nodes,
    another(name) {
      const one = node(name);
      others.push(one);
      return one;
    },
    async end() {
      await Promise.allSettled([nodes.a, nodes.b, ...others].map((one) => one.killAll()));
      clearHost(dir);
      https.close();
      await service.close();
      await store.close();
      identity.stop();
      await etcd.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Writes as an application that wants to be sure. */
export function writeDurably(path: string, text: string): void {
  const file = openSync(path, 'a');
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Files of a folder, as a container would list them. */
export function listing(path: string): string[] {
  return readdirSync(path).sort();
}

/** Shows what the nodes said when a test has failed. */
export function showLogs({ a, b }: World, { task }: TestContext): void {
  if (task.result?.state !== 'fail') return;
  for (const node of [a, b]) console.error(node.log());
}
