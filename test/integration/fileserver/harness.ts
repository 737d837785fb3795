import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStore } from '../../../src/etcd/etcd-store.ts';
import { createMirror } from '../../../src/etcd/list-watch-mirror.ts';
import type { Mirror } from '../../../src/etcd/mirror.ts';
import type { Store } from '../../../src/etcd/store.ts';
import { GaneshaLauncher, type ServerProcess } from '../../../src/fileserver/ganesha-process.ts';
import { holdPort } from '../../../src/fileserver/hold-port.ts';
import { createReplyPermit, type ReplyPermit } from '../../../src/fileserver/reply-permit.ts';
import { readFileServerSettings } from '../../../src/fileserver/settings.ts';
import { Supervisor } from '../../../src/fileserver/supervisor.ts';
import { openVolumeFiles } from '../../../src/fileserver/volume-files.ts';
import { systemClock as clock } from '../../../src/lib/clock.ts';
import { type Log, silentLog } from '../../../src/lib/log.ts';
import { nfsNull } from '../../../src/lib/nfs-null.ts';
import { findDiskHold } from '../../../src/vdvs/disk-hold.ts';
import { vdvsKeys } from '../../../src/vdvs/keys.ts';
import { vfileKeys } from '../../../src/vfile/keys.ts';
import { type ServerRecord, serverRecordSchema } from '../../../src/vfile/types.ts';
import { freePort } from '../../contract/free-port.ts';
import { type RealEtcd, startEtcd } from '../../contract/real-etcd.ts';
import { type BlockVolume, createBlockVolume } from './block-volume.ts';
import { ganeshaCommand, ganeshaTree } from './ganesha-tree.ts';

export const volume = 'shared';
export const host = 'vfile-shared';
/** The node that serves, and clients' nodes: addresses of loopback, each a host of its own. */
export const serverAddress = '127.0.0.2';
export const clientAddress = '127.0.0.3';
export const otherAddress = '127.0.0.4';
export const witnessAddress = '127.0.0.5';

/** A file server task that runs. */
export interface Task {
  /** Resolves when it stopped as asked, rejects when it failed. */
  readonly done: Promise<void>;
  /** What permits its answers. */
  readonly permit: ReplyPermit;
  /** Tells it whether its node is given the disk. */
  tellGranted(ours: boolean): void;
  /** Its ganesha processes that wait for their turn. */
  waiting(): ServerProcess[];
  /** Its newest ganesha process. */
  process(): ServerProcess;
  stop(): Promise<void>;
}

/** One volume, a real etcd, and what tests do to them. */
export interface Bench {
  readonly etcd: RealEtcd;
  readonly disk: BlockVolume;
  readonly store: Store;
  readonly port: number;
  start(environment?: Record<string, string>): Task;
  putNode(node: string, address: string): Promise<void>;
  dropNode(node: string): Promise<void>;
  putMount(node: string, address: string): Promise<void>;
  /** Resolves when the `server` key satisfies `wanted` (`undefined` when it is absent). */
  server(wanted: (record: ServerRecord | undefined) => boolean): Promise<ServerRecord | undefined>;
  /** Names of the records of clients in force. */
  records(root?: string): Promise<string[]>;
  remove(): Promise<void>;
}

/** A log that shows everything when VFILE_TEST_LOG is set. */
function testLog(): Log {
  if (!process.env.VFILE_TEST_LOG) return silentLog;
  const say = (message: string, fields?: object) =>
    console.error(new Date().toISOString().slice(17), message, fields ? JSON.stringify(fields) : '');
  return { debug: say, info: say, warn: say, error: say, child: () => testLog() };
}

export async function createBench(fsType: 'ext4' | 'xfs'): Promise<Bench> {
  const log = testLog();
  const tree = await ganeshaTree();
  const etcd = await startEtcd();
  const disk = await createBlockVolume(fsType);
  const runDir = await mkdtemp(join(tmpdir(), 'vfile-run-'));
  const port = await freePort();
  const open = () =>
    openStore({
      identity: undefined,
      endpoints: async () => etcd.addresses,
      clock,
      log: silentLog,
      requestTimeoutMs: 5_000,
    });
  const store = open();
  const spec = {
    v: 1,
    name: volume,
    options: { uid: '1000', gid: '1001', mode: '0770' },
    baseDriver: 'vdvs',
    baseVolume: `_vF_${volume}`,
    port: 20490,
    createdAt: '2026-01-01T00:00:00Z',
    createdBy: 'n1',
  };
  const attached = {
    v: 1,
    node: 'n1',
    host: 'host1',
    epoch: 1,
    access: 'read-write',
    since: '2026-01-01T00:00:00Z',
  };
  const base = { datastore: 'default', name: spec.baseVolume };
  await store.txn(
    [],
    [
      { put: vfileKeys.spec(volume), value: spec },
      { put: vdvsKeys.attachment(base), value: attached },
    ],
  );
  const mirror: Mirror = createMirror({ store, prefix: vfileKeys.server(volume), clock, log: silentLog });
  await mirror.ready(10_000);
  const tasks: Task[] = [];
  const bench: Bench = {
    etcd,
    disk,
    store,
    port,
    start: (environment = {}) => {
      const settings = readFileServerSettings({
        VFILE_VOLUME: volume,
        VFILE_NODE_ID: 'n1',
        VFILE_NODE_HOSTNAME: 'host1',
        VFILE_PORT: '20490',
        VFILE_MANAGERS: '127.0.0.1',
        VFILE_EXPORT_ROOT: disk.root,
        VFILE_SERVER_LEASE_MS: '2000',
        VFILE_SERVER_LEASE_MARGIN_MS: '500',
        VFILE_NFS_LEASE_SECONDS: '2',
        VFILE_PARK_MS: '50',
        ...environment,
      });
      const own = open();
      const ganesha = new GaneshaLauncher({
        command: ganeshaCommand({ tree, host, exportRoot: disk.root, runDir }),
        runDir,
        log,
      });
      let newest: ServerProcess | undefined;
      const waiting: ServerProcess[] = [];
      const permit = createReplyPermit(runDir, clock);
      const stop = new AbortController();
      const supervisor = new Supervisor({
        settings: { ...settings, port },
        store: own,
        createMirror: (prefix) => createMirror({ store: own, prefix, clock, log: silentLog }),
        findDisk: (baseVolume) => findDiskHold(own, baseVolume, settings.nodeId),
        followDisk: (_baseVolume, told) => {
          task.tellGranted = told;
          return () => undefined;
        },
        launcher: {
          ready: async (...args) => {
            const ready = await ganesha.ready(...args);
            const { process } = ready;
            waiting.push(process);
            return {
              process,
              get accepts() {
                return ready.accepts;
              },
              serve: (...how) => {
                waiting.splice(waiting.indexOf(process), 1);
                newest = process;
                ready.serve(...how);
              },
            };
          },
        },
        files: openVolumeFiles({ exportRoot: disk.root, host, clock, log }),
        nfsNull,
        holdPort,
        permit,
        clock,
        log,
      });
      const done = supervisor.run(stop.signal).finally(() => {
        permit.close();
        return own.close();
      });
      done.catch(() => undefined);
      const task: Task = {
        done,
        permit,
        tellGranted: () => undefined,
        waiting: () => waiting.filter(({ ended }) => !ended),
        process: () => {
          if (!newest) throw new Error('ganesha was never started');
          return newest;
        },
        stop: () => {
          stop.abort();
          return done;
        },
      };
      tasks.push(task);
      return task;
    },
    putNode: async (node, address) => {
      const value = { v: 1, node, host: `host-${node}`, address, version: '1', problems: [] };
      await store.txn([], [{ put: vfileKeys.node(node), value }]);
    },
    dropNode: async (node) => {
      await store.txn([], [{ delete: vfileKeys.node(node) }]);
    },
    putMount: async (node, address) => {
      const value = {
        v: 1,
        node,
        host: `host-${node}`,
        address,
        ids: { a: 1 },
        since: '2026-01-01T00:00:00Z',
      };
      await store.txn([], [{ put: vfileKeys.mount(volume, node), value }]);
    },
    server: async (wanted) => {
      const look = () => {
        const entry = mirror.entries.get(vfileKeys.server(volume));
        const record = entry && serverRecordSchema.parse(entry.value);
        return wanted(record) ? { record } : undefined;
      };
      const describe = () => `server is ${JSON.stringify([...mirror.entries.values()].map((e) => e.value))}`;
      return (await mirror.waitFor(look, { timeoutMs: 20_000, describe })).record;
    },
    records: async (root = disk.root) => {
      const names = await readdir(join(root, '.vfile/recovery/v4recov', host));
      return names.sort();
    },
    remove: async () => {
      await Promise.allSettled(tasks.map((task) => task.stop()));
      mirror.stop();
      await store.close();
      await etcd.stop();
      await disk.remove();
      await rm(runDir, { recursive: true, force: true });
    },
  };
  await bench.putNode('n1', serverAddress);
  return bench;
}
