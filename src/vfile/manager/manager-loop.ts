import type { Mirror } from '../../etcd/mirror.ts';
import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { EngineVolumes, ServiceState, Swarm, TaskState } from '../../swarm/swarm.ts';
import { vfileKeys } from '../keys.ts';
import { parseRecord, type Read, type VolumeRecords } from '../read-volume.ts';
import type { VfileSettings } from '../settings.ts';
import { type NodeRecord, nodeRecordSchema, type VolumeSpec } from '../types.ts';
import { GarbageCollector } from './collect-garbage.ts';
import { keepEtcdLeaderApart } from './etcd-leadership.ts';
import type { ManagerEvent } from './events.ts';
import { nodeFacts, SilenceWatch } from './node-facts.ts';
import type { Observed, Step } from './observed.ts';
import { type Leading, runStep, type StatusPatch, type StepParts } from './run-step.ts';
import { Slots } from './slots.ts';
import { SwarmView } from './swarm-view.ts';
import { VolumeIndex } from './volume-index.ts';
import { VolumeWorker } from './volume-worker.ts';

/** What the loop works with. The mirrors live longer than one leadership, so that a new leader knows everything at once. */
export interface LoopParts {
  readonly store: Store;
  /** Of `/vfile/volumes/`. */
  readonly volumesMirror: Mirror;
  /** Of `/vfile/nodes/`. */
  readonly nodesMirror: Mirror;
  readonly swarm: Swarm;
  readonly volumes: EngineVolumes;
  readonly leading: Leading;
  readonly clusterId: string;
  /** Node ID of this manager. */
  readonly self: string;
  /** Node ID of etcd's leader, where it is known. */
  readonly etcdLeader?: () => string | undefined;
  /** Has the member of a node lead etcd. @throws VolumeError why it does not. */
  readonly moveEtcdLeader?: (node: string) => Promise<void>;
  readonly settings: VfileSettings;
  readonly clock: Clock;
  readonly emit: (event: ManagerEvent) => void;
}

/** Everything is looked at this often, whatever was or was not reported. */
const roundMs = 30_000;
/** Creating and removing disks is slow; so many at once, the others wait. Nothing else waits for them. */
const diskSlots = 6;
/** Orders to Swarm: its managers agree on each one. */
const orderSlots = 12;
const diskSteps: ReadonlySet<Step['do']> = new Set(['createBase', 'removeBase', 'checkBase']);

/** The work of the manager that leads: a worker for each volume, woken by changes of the store and every 30 s. */
export class ManagerLoop {
  readonly #parts: LoopParts;
  readonly #view: SwarmView;
  readonly #index: VolumeIndex;
  readonly #silence: SilenceWatch;
  readonly #garbage: GarbageCollector;
  readonly #workers = new Map<string, VolumeWorker>();
  readonly #stop = new AbortController();
  readonly #disk = new Slots(diskSlots);
  readonly #orders = new Slots(orderSlots);
  readonly #unfollow: () => void;
  readonly #rounds: Promise<void>;
  readonly #apart: Promise<void>;

  constructor(parts: LoopParts) {
    const { swarm, clusterId, clock, volumesMirror, nodesMirror } = parts;
    this.#parts = parts;
    this.#view = new SwarmView({ swarm, clusterId, clock });
    this.#silence = new SilenceWatch({ clock });
    this.#garbage = new GarbageCollector(parts);
    this.#index = new VolumeIndex(volumesMirror, (volumes) => {
      for (const name of volumes) this.wake(name);
    });
    this.#unfollow = nodesMirror.onChange(() => this.#wakeAll());
    this.#rounds = this.#followRounds();
    this.#apart = this.#keepApart();
  }

  /** Look at a volume soon. Volumes that do not exist are passed over. */
  wake(name: string): void {
    if (this.#stop.signal.aborted) return;
    const worker = this.#workers.get(name);
    if (worker) worker.wake();
    else if (this.#index.read(name).spec) this.#workers.set(name, this.#start(name));
  }

  /** Begins nothing new and waits for what is under way. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#unfollow();
    this.#index.stop();
    await Promise.all([
      this.#rounds,
      this.#apart,
      ...[...this.#workers.values()].map((worker) => worker.stop()),
    ]);
  }

  #start(name: string): VolumeWorker {
    const { store, clock, leading, emit, settings, clusterId, swarm, volumes } = this.#parts;
    const managers = () => this.#view.managers();
    const parts: StepParts = { store, swarm, volumes, leading, clusterId, settings, managers };
    return new VolumeWorker({
      name,
      store,
      clock,
      leading,
      emit,
      records: () => this.#index.read(name),
      observe: (records) => this.#observe(records),
      runStep: (spec, step) =>
        (diskSteps.has(step.do) ? this.#disk : this.#orders).run(() => this.#do(parts, spec, step)),
      gone: () => {
        this.#workers.delete(name);
        // Created again while the last one ended?
        this.wake(name);
      },
    });
  }

  async #do(parts: StepParts, spec: Read<VolumeSpec>, step: Step): Promise<StatusPatch> {
    const patch = await runStep(parts, spec, step);
    // Else the next look would see what the service was before.
    if (step.do === 'scaleService') await this.#view.serviceOf(spec.value.name, true);
    return patch;
  }

  #wakeAll(): void {
    for (const name of new Set([...this.#index.names(), ...this.#workers.keys()])) this.wake(name);
  }

  async #followRounds(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#round();
      // Rejects only when cut short by stop().
      await this.#parts.clock.sleep(roundMs, this.#stop.signal).catch(() => undefined);
    }
  }

  async #keepApart(): Promise<void> {
    const { moveEtcdLeader: move, etcdLeader, self, clock, emit } = this.#parts;
    if (!move) return;
    const look = async () => ({
      leader: etcdLeader?.(),
      nodes: await this.#view.nodes(false),
      servers: this.#index.serversByNode(),
      self,
    });
    await keepEtcdLeaderApart({ look, move, clock, emit }, this.#stop.signal);
  }

  async #round(): Promise<void> {
    const { emit, volumesMirror } = this.#parts;
    const names = this.#index.names();
    const outcome: { problem: string | undefined } = { problem: volumesMirror.problem };
    try {
      await this.#view.refresh();
      if (volumesMirror.synced) await this.#garbage.collect(await this.#view.all(), new Set(names));
    } catch (thrown) {
      outcome.problem = toVolumeError(thrown).message;
    }
    emit({ type: 'round', volumes: names.length, problem: outcome.problem });
    this.#wakeAll();
  }

  /** What is known besides the volume's records; asks the Swarm only as far as this volume may need something done. */
  async #observe(
    before: VolumeRecords,
  ): Promise<Omit<Observed, 'memory' | 'status' | 'inCircles' | 'now'> | undefined> {
    const { volumesMirror, nodesMirror, settings } = this.#parts;
    const { name } = before;
    if (!volumesMirror.synced || !nodesMirror.synced) return undefined;
    const used = before.mounts.length > 0;
    const unserved = used && !before.server;
    const last = await this.#view.serviceOf(name, false);
    const deciding = unserved || (used && before.move !== undefined);
    const fresh = deciding || before.spec?.value.deleting !== undefined || (!used && last !== undefined);
    const [swarmNodes, service, lastTasks] = await Promise.all([
      this.#view.nodes(deciding),
      fresh ? this.#view.serviceOf(name, true) : last,
      last ? this.#tasks(last, before, deciding) : [],
    ]);
    const tasks =
      deciding && service && service.id !== last?.id ? await this.#view.tasks(service.id) : lastTasks;

    // The records again: time has passed. What was looked at for the old ones must do for the new ones, else once more.
    const records = this.#index.read(name);
    if (!records.spec) return undefined;
    if (unserved !== (records.mounts.length > 0 && !records.server)) return this.#observe(records);
    return {
      name,
      spec: records.spec,
      mounts: records.mounts,
      claim: records.claim?.value,
      server: records.server?.value,
      move: records.move,
      service,
      tasks: service ? tasks : [],
      nodes: nodeFacts({
        swarmNodes,
        alive: this.#aliveNodes(),
        mounting: new Map(records.mounts.map(({ value }) => [value.node, value.host])),
        silentMs: (nodeId, alive) => this.#silence.silentMs(nodeId, alive),
        etcdLeader: this.#parts.etcdLeader?.(),
        vfileLeader: this.#parts.self,
        servers: deciding ? this.#index.serversByNode() : new Map(),
      }),
      settings,
    };
  }

  /** A service's tasks as far as they matter: while a server serves only a standby does, and only roughly. */
  async #tasks(
    service: ServiceState,
    { mounts, server }: VolumeRecords,
    deciding: boolean,
  ): Promise<readonly TaskState[]> {
    if (deciding) return this.#view.tasks(service.id);
    if (mounts.length === 0 || service.replicas < 2) return [];
    return this.#view.standbyTasks(service.id, server?.value.epoch);
  }

  #aliveNodes(): Map<string, NodeRecord> {
    const alive = new Map<string, NodeRecord>();
    for (const [key, entry] of this.#parts.nodesMirror.entries) {
      const record = parseRecord(nodeRecordSchema, entry);
      if (record && key === vfileKeys.node(record.value.node)) alive.set(record.value.node, record.value);
    }
    return alive;
  }
}
