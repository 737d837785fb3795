import { createElection } from '../../../../src/etcd/election.ts';
import { createMirror } from '../../../../src/etcd/list-watch-mirror.ts';
import { createMemoryStore } from '../../../../src/etcd/memory-store.ts';
import type { Lease } from '../../../../src/etcd/store.ts';
import { silentLog } from '../../../../src/lib/log.ts';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import { createMemorySwarm, type TaskProgram } from '../../../../src/swarm/memory-swarm.ts';
import { createVolume } from '../../../../src/vfile/create-volume.ts';
import { vfileKeys } from '../../../../src/vfile/keys.ts';
import type { ManagerEvent } from '../../../../src/vfile/manager/events.ts';
import { runManager } from '../../../../src/vfile/manager/run-manager.ts';
import { recordMount, removeMount } from '../../../../src/vfile/mount-records.ts';
import { readVolume } from '../../../../src/vfile/read-volume.ts';
import { readVfileSettings } from '../../../../src/vfile/settings.ts';
import { moveRequestSchema } from '../../../../src/vfile/types.ts';

const leaseMs = 5_000;
/** From the claim until ganesha serves, in the simulation. */
const serveMs = 500;

/** After the loss of its host a disk is given to nobody for so long. */
const fenceMs = 7_500;

/** Disks of volumes: one task at a time has one, those who wait get it in the order in which they came. */
function simulateDisks() {
  const queues = new Map<string, (() => void)[]>();
  /** Resolves when the disk is there; it is let go of when `letGo` resolves. */
  return async (volume: string, letGo: Promise<void>): Promise<void> => {
    const queue = queues.get(volume) ?? [];
    queues.set(volume, queue);
    await new Promise<void>((resolve) => {
      queue.push(resolve);
      if (queue.length === 1) resolve();
      void letGo.then(() => {
        queue.splice(queue.indexOf(resolve), 1);
        queue[0]?.();
      });
    });
  };
}

/** A whole cluster in memory: store, Swarm, plugins' signs of life, file servers, and managers; time is turned by hand. */
export function simulateCluster(options: { readonly nodes?: number } = {}) {
  const clock = new ManualClock();
  const store = createMemoryStore({ clock });
  const settings = readVfileSettings({});
  const nodeIds = Array.from({ length: options.nodes ?? 3 }, (_, i) => `n${i + 1}`);
  const nodeLeases = new Map<string, Lease>();
  const events: ManagerEvent[] = [];
  const managers = new Map<
    string,
    { stop: AbortController; store: ReturnType<typeof store.client>; done: Promise<void> }
  >();
  /** File servers that hold a claim, by volume. */
  const serving = new Map<string, { nodeId: string; lease: Lease; restart(): Promise<void> }>();

  const attach = simulateDisks();
  /** Nodes that lost their power. */
  const dark = new Set<string>();

  const program: TaskProgram = ({ id, nodeId, spec, signal }) => {
    const volume = spec.env.VFILE_VOLUME ?? '';
    const keys = {
      claim: vfileKeys.claim(volume),
      epoch: vfileKeys.epoch(volume),
      server: vfileKeys.server(volume),
      move: vfileKeys.move(volume),
    };
    const since = () => new Date(clock.now()).toISOString();
    const serve = async (lease: Lease, epoch: number, instance: number) => {
      await clock.sleep(serveMs, signal);
      const value = {
        v: 1,
        node: nodeId,
        host: nodeId,
        address: '10.0.0.1',
        port: Number(spec.env.VFILE_PORT),
        epoch,
        instance,
        since: since(),
      };
      await store.txn([], [{ put: keys.server, value, lease: lease.id }]);
    };
    // The leader asks a server to make way for the standby: its container ends, and Swarm starts another.
    const heedMoves = (epoch: number, lease: Lease) => {
      const look = async () => {
        const move = moveRequestSchema.safeParse((await store.get(keys.move))?.value);
        if (!move.success || !move.data.stop || move.data.epoch !== epoch || signal.aborted) return;
        await store.txn([], [{ delete: keys.server }]);
        await lease.revoke();
        swarm.crashTask(id);
      };
      store.watch(keys.move, 1, { changes: () => void look(), lost: () => undefined }, signal);
    };
    const main = async () => {
      const ended = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      await attach(
        volume,
        ended.then(() => (dark.has(nodeId) ? clock.sleep(fenceMs) : undefined)),
      );
      if (signal.aborted) return;
      const lease = await store.grantLease(leaseMs);
      signal.addEventListener('abort', async () => {
        if (serving.get(volume)?.lease === lease) serving.delete(volume);
        if (signal.reason === 'power') return lease.release();
        await store.txn([], [{ delete: keys.server }]);
        await lease.revoke();
      });
      for (;;) {
        const last = (await store.get(keys.epoch))?.value as { epoch: number } | undefined;
        const epoch = (last?.epoch ?? 0) + 1;
        const { done } = await store.txn(
          [{ key: keys.claim, is: 'absent' }],
          [
            { put: keys.claim, value: { v: 1, node: nodeId, epoch, since: since() }, lease: lease.id },
            { put: keys.epoch, value: { v: 1, epoch } },
          ],
        );
        if (done) {
          heedMoves(epoch, lease);
          serving.set(volume, {
            nodeId,
            lease,
            restart: async () => {
              await store.txn([], [{ delete: keys.server }]);
              await serve(lease, epoch, 2);
            },
          });
          return serve(lease, epoch, 1);
        }
        await clock.sleep(50, signal);
      }
    };
    // Ends early only by its own signal.
    main().catch(() => undefined);
  };
  const swarm = createMemorySwarm({ clock, program, startMs: 1_000 });

  const nodeUp = async (id: string) => {
    const lease = await store.grantLease(leaseMs);
    nodeLeases.set(id, lease);
    const value = { v: 1, node: id, host: id, address: '10.0.0.1', version: '0', problems: [] };
    await store.txn([], [{ put: vfileKeys.node(id), value, lease: lease.id }]);
  };

  const startManager = (self: string): void => {
    const client = store.client();
    const stop = new AbortController();
    const mirror = (prefix: string) => createMirror({ store: client, prefix, clock, log: silentLog });
    const election = createElection({
      store: client,
      key: vfileKeys.leader,
      node: self,
      ttlMs: settings.leaderLeaseMs,
      clock,
      log: silentLog,
    });
    const done = runManager(
      {
        store: client,
        volumesMirror: mirror(vfileKeys.volumes),
        nodesMirror: mirror(vfileKeys.nodes),
        swarm,
        volumes: swarm,
        clusterId: 'cluster',
        self,
        settings,
        clock,
        election,
        emit: (event) => events.push(event),
      },
      stop.signal,
    );
    managers.set(self, { stop, store: client, done });
  };

  const records = async (name: string) =>
    readVolume(name, (await store.list(vfileKeys.volume(name))).entries);
  const status = async (name: string) => (await records(name)).status?.value;

  /** Turns time on in small steps until `look` finds something; how long it took, in ms. */
  const until = async (what: string, look: () => Promise<unknown>, mostMs = 120_000): Promise<number> => {
    const begun = clock.monotonic();
    await clock.settle();
    while (!(await look())) {
      if (clock.monotonic() - begun > mostMs) {
        throw new Error(`not within ${mostMs} ms: ${what}`);
      }
      await clock.advance(20);
    }
    return clock.monotonic() - begun;
  };

  return {
    clock,
    store,
    swarm,
    settings,
    events,
    serving,
    nodeIds,
    records,
    status,
    until,
    nodeUp,
    startManager,
    /** Starts everything; time has to be turned for it to happen. */
    start: async () => {
      for (const id of nodeIds) {
        swarm.addNode({ id });
        await nodeUp(id);
      }
      startManager('n1');
      await until('a leader', async () => store.get(vfileKeys.leader));
    },
    stopManager: async (self: string) => {
      const manager = managers.get(self);
      manager?.stop.abort();
      await clock.settle();
      await manager?.done;
    },
    /** The manager's process loses its contact with the store, as in a power cut or partition. */
    cutManager: (self: string) => managers.get(self)?.store.goOffline(),
    cutPower: (id: string) => {
      dark.add(id);
      nodeLeases.get(id)?.release();
      swarm.cutPower(id);
      managers.get(id)?.store.goOffline();
    },
    create: (name: string, given: Record<string, string> = {}) =>
      createVolume({ store, clock, settings, node: 'n1' }, name, given),
    mount: (name: string, node: string) =>
      recordMount({ store }, name, {
        v: 1,
        node,
        host: node,
        address: '10.0.0.1',
        ids: { id: 1 },
        since: new Date(clock.now()).toISOString(),
      }),
    unmount: (name: string, node: string) => removeMount({ store }, name, node),
    untilState: (name: string, state: string, mostMs?: number) =>
      until(`${name} ${state}`, async () => (await status(name))?.state === state, mostMs),
    /** @returns the node on which the volume's standby waits. */
    untilStandby: async (name: string) => {
      await until(`${name} has a standby`, async () => (await status(name))?.standby);
      return (await status(name))?.standby?.node ?? '';
    },
    /** The states that a volume went through, as the manager reported them. */
    states: (name: string) =>
      events.flatMap((event) => (event.type === 'state' && event.volume === name ? [event.to] : [])),
    steps: (name: string) =>
      events.flatMap((event) => (event.type === 'step' && event.volume === name ? [event.step] : [])),
    stop: async () => {
      for (const { stop } of managers.values()) stop.abort();
      await clock.settle();
      await Promise.all([...managers.values()].map((manager) => manager.done));
    },
  };
}
