import { createMirror } from '../../../../src/etcd/list-watch-mirror.ts';
import { createMemoryStore, type MemoryStore } from '../../../../src/etcd/memory-store.ts';
import type { Mirror } from '../../../../src/etcd/mirror.ts';
import { VolumeError } from '../../../../src/lib/errors.ts';
import { silentLog } from '../../../../src/lib/log.ts';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import type { VolumeDriver } from '../../../../src/plugin/volume-driver.ts';
import { vfileKeys } from '../../../../src/vfile/keys.ts';
import { createKnownDriver } from '../../../../src/vfile/node/known-driver.ts';
import type { MountedVolume } from '../../../../src/vfile/node/mount-table.ts';
import type { Mounter, UnmountOutcome } from '../../../../src/vfile/node/nfs-mount.ts';
import type { NodeMemory } from '../../../../src/vfile/node/node-state.ts';
import { type NodeParts, startNode } from '../../../../src/vfile/node/start-node.ts';
import { readVfileSettings } from '../../../../src/vfile/settings.ts';
import {
  type MountRecord,
  mountRecordSchema,
  type VolumeStatus,
  volumeSpecSchema,
} from '../../../../src/vfile/types.ts';

/** A kernel in which mounts do what a test says. */
export class FakeMounter implements Mounter {
  readonly table = new Map<string, MountedVolume>();
  readonly calls: string[] = [];
  /** What happens in a mount before it is done. */
  onMount: (address: string, signal: AbortSignal | undefined) => Promise<void> = async () => undefined;
  onUnmount: () => Promise<UnmountOutcome> = async () => ({ how: 'clean' });

  pathOf(volume: string): string {
    return `/mnt/vfile/${volume}`;
  }
  async mounted(): Promise<MountedVolume[]> {
    return [...this.table.values()];
  }
  async mount(request: Parameters<Mounter['mount']>[0]): Promise<void> {
    const { volume, address, port, signal } = request;
    this.calls.push(`mount ${volume} ${address}:${port}`);
    await this.onMount(address, signal);
    this.table.set(volume, { volume, path: this.pathOf(volume), port, mountedFrom: address });
  }
  async unmount(volume: string): Promise<UnmountOutcome> {
    if (!this.table.has(volume)) return { how: 'clean' };
    this.calls.push(`unmount ${volume}`);
    const outcome = await this.onUnmount();
    this.table.delete(volume);
    return outcome;
  }
}

/** The cluster's records, and a manager played by the test. */
export class Cluster {
  readonly clock = new ManualClock();
  readonly store: MemoryStore = createMemoryStore({ clock: this.clock });

  async put(key: string, value: Parameters<typeof JSON.stringify>[0]): Promise<void> {
    await this.store.txn([], [{ put: key, value }]);
    await this.clock.settle();
  }
  async delete(key: string): Promise<void> {
    await this.store.txn([], [{ delete: key }]);
    await this.clock.settle();
  }
  async deletePrefix(prefix: string): Promise<void> {
    await this.store.txn([], [{ deletePrefix: prefix }]);
    await this.clock.settle();
  }
  async spec(volume: string) {
    const entry = await this.store.get(vfileKeys.spec(volume));
    return entry && volumeSpecSchema.parse(entry.value);
  }
  async ids(volume: string, node: string): Promise<MountRecord['ids'] | undefined> {
    const entry = await this.store.get(vfileKeys.mount(volume, node));
    return entry && mountRecordSchema.parse(entry.value).ids;
  }
  async status(volume: string, status: Partial<VolumeStatus>): Promise<void> {
    const since = new Date(this.clock.now()).toISOString();
    const whole = { v: 1, state: 'Ready', reason: '', since, baseReady: true, ...status };
    await this.put(vfileKeys.status(volume), whole);
  }
  async serve(volume: string, address = '10.0.0.1', epoch = 1): Promise<void> {
    const { port } = (await this.spec(volume)) ?? { port: 20490 };
    const since = new Date(this.clock.now()).toISOString();
    const server = {
      v: 1,
      node: `n-${address}`,
      host: `h-${address}`,
      address,
      port,
      epoch,
      instance: 1,
      since,
    };
    await this.put(vfileKeys.server(volume), server);
  }
  /** A volume that the manager has made. */
  async volume(volume: string, port = 20501): Promise<void> {
    await this.put(vfileKeys.spec(volume), {
      v: 1,
      name: volume,
      options: {},
      baseDriver: 'vdvs',
      baseVolume: `_vF_${volume}`,
      port,
      createdAt: '2026-01-01T00:00:00.000Z',
      createdBy: 'elsewhere',
    });
    await this.status(volume, {});
  }
}

/** A node under test. */
export interface OneNode {
  readonly driver: VolumeDriver;
  readonly store: MemoryStore;
  readonly mirror: Mirror;
  readonly mounter: FakeMounter;
  /** Containers that the engine runs; `undefined`: it does not answer. */
  containers: { containerId: string; driver: string; volume: string }[] | undefined;
  /** Ports that the retargeter looks after, by volume. */
  readonly tracked: Map<string, number>;
  /** Whom the retargeter sees serve a volume as it is told to look, each time. */
  readonly looks: { readonly volume: string; readonly server: string | undefined }[];
  /** Problems that the retargeter would tell. */
  readonly problems: Map<string, string>;
  /** What the retargeter calls when it goes on with another start of a server. */
  readonly resumedSlot: NodeParts['resumedSlot'];
  /** How many transactions this node has asked for. */
  writes(): number;
  /** As a crash: nothing is told to anybody. */
  crash(): void;
}

/** Starts a node on the cluster. */
export async function startOneNode(
  cluster: Cluster,
  nodeId: string,
  options: {
    mounter?: FakeMounter;
    rebooted?: boolean;
    containers?: OneNode['containers'];
    settings?: Record<string, string>;
  } = {},
): Promise<OneNode> {
  const { clock } = cluster;
  const store = cluster.store.client();
  const mirror = createMirror({ store, prefix: vfileKeys.volumes, clock, log: silentLog });
  const mounter = options.mounter ?? new FakeMounter();
  const stop = new AbortController();
  const tracked = new Map<string, number>();
  const problems = new Map<string, string>();
  const looks: OneNode['looks'] = [];
  const servingSlot: NodeParts['servingSlot'] = { serving: () => ({ known: false, reason: '' }) };
  let writes = 0;
  const counting = new Proxy(store, {
    get(target, name) {
      if (name === 'txn') writes += 1;
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  let memory: NodeMemory = { inUse: {}, managers: ['10.0.0.1'], known: {} };
  const node = { nodeId, hostname: `host-${nodeId}`, address: `10.0.1.${nodeId.length}` };
  const known = createKnownDriver({ clock, known: () => memory.known, path: () => '' });
  const one: OneNode = {
    driver: known.driver,
    store,
    mirror,
    mounter,
    containers: options.containers,
    tracked,
    looks,
    problems,
    resumedSlot: { resumed: () => undefined },
    writes: () => writes,
    crash() {
      stop.abort();
      mirror.stop();
      void store.close();
    },
  };
  await mirror.ready(1_000);
  await startNode({
    settings: readVfileSettings(options.settings ?? {}),
    store: counting,
    mirror,
    node: { known: async () => node, current: () => node, endpoints: async () => [] },
    state: {
      get memory() {
        return memory;
      },
      rebooted: options.rebooted ?? false,
      update: (change) => {
        memory = { ...memory, ...change };
      },
      saved: async () => undefined,
    },
    mounter,
    retargeter: {
      track: async (volume, port) => {
        tracked.set(volume, port);
        return 1;
      },
      tracks: (volume) => tracked.has(volume),
      untrack: (volume) => void tracked.delete(volume),
      look: (volume) => {
        if (volume === undefined) return;
        const now = servingSlot.serving(volume);
        looks.push({ volume, server: now.known ? now.server?.address : undefined });
      },
      problem: (volume) => problems.get(volume),
      problems: () => [...problems.values()],
      stop: async () => undefined,
    },
    engine: {
      volumesInUse: async () => {
        if (!one.containers) throw new VolumeError('unavailable', 'the engine does not answer');
        return one.containers;
      },
    },
    known,
    resumedSlot: one.resumedSlot,
    servingSlot,
    problems: () => [],
    canRetarget: () => true,
    version: 'test',
    clock,
    log: silentLog,
    signal: stop.signal,
  });
  await clock.settle();
  return one;
}

/** What a promise came to, once everything that can happen without time passing has happened. */
export async function settled<T>(
  clock: ManualClock,
  work: Promise<T>,
): Promise<{ value: T } | { error: string } | 'pending'> {
  let outcome: { value: T } | { error: string } | 'pending' = 'pending';
  work.then(
    (value) => {
      outcome = { value };
    },
    (thrown: unknown) => {
      outcome = { error: thrown instanceof Error ? thrown.message : String(thrown) };
    },
  );
  await clock.settle();
  return outcome;
}
