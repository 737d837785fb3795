import { setImmediate as turn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import type {
  EngineContainers,
  EngineVolumes,
  ServiceSpec,
  ServiceState,
  Swarm,
  SwarmNode,
  TaskState,
} from './swarm.ts';

/** What a task does while it runs; given to the twin by the test. */
export type TaskProgram = (task: {
  readonly id: string;
  readonly nodeId: string;
  readonly spec: ServiceSpec;
  /** Aborted when the task is told to stop (reason 'stop') or dies with its host (reason 'power'). */
  readonly signal: AbortSignal;
}) => void;

/** The Swarm's twin and what tests need to make bad times. */
export interface MemorySwarm extends Swarm, EngineVolumes, EngineContainers {
  addNode(node: Partial<SwarmNode> & { id: string }): void;
  /** As `docker node update`: a drained node's tasks move. */
  updateNode(id: string, patch: Partial<Pick<SwarmNode, 'availability' | 'volumeDrivers' | 'leader'>>): void;
  /** Power cut: tasks die without a word; the Swarm notices 15 s later. */
  cutPower(id: string): void;
  /** The container of a running task dies; the Swarm starts another at once. */
  crashTask(taskId: string): void;
  /** From now on every call fails with this; `undefined` ends it. */
  fail(error: VolumeError | undefined): void;
  /** From now on calls of this name fail with this. */
  failCall(call: keyof Swarm | keyof EngineVolumes, error: VolumeError | undefined): void;
  /** Names of the calls made so far. */
  readonly calls: readonly string[];
  /** Names of the volumes that exist. */
  readonly volumeNames: readonly string[];
}

interface MemoryTask {
  readonly id: string;
  readonly service: MemoryService;
  readonly spec: ServiceSpec;
  readonly createdAt: number;
  readonly end: AbortController;
  nodeId: string | undefined;
  desired: string;
  state: string;
  message: string;
}

interface MemoryService {
  readonly id: string;
  readonly createdAt: number;
  spec: ServiceSpec;
  updatedAt: number;
  removed: boolean;
}

const noticedAfterMs = 15_000;

class MemorySwarmTwin implements MemorySwarm {
  readonly calls: string[] = [];
  readonly #clock: Clock;
  readonly #program: TaskProgram;
  readonly #startMs: number;
  readonly #nodes = new Map<string, SwarmNode & { power: boolean }>();
  readonly #services = new Map<string, MemoryService>();
  readonly #tasks: MemoryTask[] = [];
  readonly #volumes = new Map<string, { driver: string; labels: Readonly<Record<string, string>> }>();
  readonly #configs = new Map<string, string>();
  readonly #failures = new Map<string, VolumeError>();
  #count = 0;

  constructor({ clock, program, startMs }: MemorySwarmOptions) {
    this.#clock = clock;
    this.#program = program ?? (() => undefined);
    this.#startMs = startMs ?? 0;
  }

  get volumeNames(): string[] {
    return [...this.#volumes.keys()].sort();
  }

  addNode(node: Partial<SwarmNode> & { id: string }): void {
    this.#nodes.set(node.id, {
      hostname: node.id,
      role: 'manager',
      availability: 'active',
      state: 'ready',
      address: '10.0.0.1',
      leader: this.#nodes.size === 0,
      volumeDrivers: ['vdvs'],
      power: true,
      ...node,
    });
    this.#placePending();
  }

  updateNode(id: string, patch: Partial<Pick<SwarmNode, 'availability' | 'volumeDrivers' | 'leader'>>): void {
    const node = this.#nodes.get(id);
    if (!node) throw new VolumeError('not_found', `no node ${id}`);
    this.#nodes.set(id, { ...node, ...patch });
    if (patch.availability === 'drain') this.#moveTasksOf(id);
    this.#placePending();
  }

  cutPower(id: string): void {
    const node = this.#nodes.get(id);
    if (!node) throw new VolumeError('not_found', `no node ${id}`);
    node.power = false;
    for (const task of this.#tasks) if (task.nodeId === id) task.end.abort('power');
    this.#clock.sleep(noticedAfterMs).then(() => {
      this.#nodes.set(id, { ...node, state: 'down' });
      this.#moveTasksOf(id);
    });
  }

  crashTask(taskId: string): void {
    const task = this.#tasks.find(({ id }) => id === taskId);
    if (!task) throw new VolumeError('not_found', `no task ${taskId}`);
    task.end.abort('power');
    Object.assign(task, { state: 'failed', desired: 'shutdown', message: 'task: non-zero exit (137)' });
    this.#newTask(task.service);
  }

  fail(error: VolumeError | undefined): void {
    if (error) this.#failures.set('*', error);
    else this.#failures.delete('*');
  }

  failCall(call: keyof Swarm | keyof EngineVolumes, error: VolumeError | undefined): void {
    if (error) this.#failures.set(call, error);
    else this.#failures.delete(call);
  }

  async local() {
    await this.#called('local');
    const [first] = this.#nodes.values();
    const managers = [...this.#nodes.values()].filter((node) => node.role === 'manager');
    return {
      nodeId: first?.id ?? '',
      clusterId: 'cluster',
      address: first?.address ?? '',
      isManager: first?.role === 'manager',
      hostname: first?.hostname ?? '',
      managers: managers.map((node) => ({ nodeId: node.id, address: node.address })),
    };
  }

  async nodes(): Promise<SwarmNode[]> {
    await this.#called('nodes');
    return [...this.#nodes.values()].map(({ power: _power, ...node }) => node);
  }

  async services(label: string, value?: string): Promise<ServiceState[]> {
    await this.#called('services');
    return [...this.#services.values()]
      .filter(({ spec }) =>
        value === undefined ? spec.labels[label] !== undefined : spec.labels[label] === value,
      )
      .map(({ id, spec, createdAt, updatedAt }) => ({
        id,
        name: spec.name,
        labels: { ...spec.labels },
        constraints: [...spec.constraints],
        replicas: spec.replicas,
        image: spec.image,
        createdAt,
        updatedAt,
      }));
  }

  async tasks(serviceId: string): Promise<TaskState[]> {
    await this.#called('tasks');
    return this.#tasks
      .filter((task) => task.service.id === serviceId && !task.service.removed)
      .map(({ id, nodeId, desired, state, message, createdAt }) => ({
        id,
        serviceId,
        nodeId,
        desired,
        state,
        message,
        createdAt,
        updatedAt: createdAt,
      }));
  }

  async createService(spec: ServiceSpec): Promise<string> {
    await this.#called('createService');
    const taken = [...this.#services.values()].some(
      (service) => service.spec.name.toLowerCase() === spec.name.toLowerCase(),
    );
    if (taken) throw new VolumeError('exists', `create service ${spec.name}: name conflicts`);
    const now = this.#clock.now();
    const service = {
      id: this.#nextId('service'),
      spec,
      createdAt: now,
      updatedAt: now,
      removed: false,
    };
    this.#services.set(service.id, service);
    for (let count = 0; count < spec.replicas; count += 1) this.#newTask(service);
    return service.id;
  }

  async scaleService(id: string, replicas: number, constraints?: readonly string[]): Promise<void> {
    await this.#called('scaleService');
    const service = this.#services.get(id);
    if (!service) throw new VolumeError('not_found', `scale service ${id}: service ${id} not found`);
    const spec = { ...service.spec, replicas, ...(constraints ? { constraints } : {}) };
    if (isDeepStrictEqual(spec, service.spec)) return;
    service.spec = spec;
    service.updatedAt = this.#clock.now();
    const tasks = this.#tasks.filter((task) => task.service === service && task.desired === 'running');
    // Those without a node are made anew: the constraints under which they wait are the old ones.
    for (const task of tasks) if (task.nodeId === undefined) this.#stopTask(task);
    const placed = tasks.filter((task) => task.nodeId !== undefined);
    for (const task of placed.slice(replicas)) this.#stopTask(task);
    for (let count = placed.length; count < replicas; count += 1) this.#newTask(service);
  }

  async removeService(id: string): Promise<void> {
    await this.#called('removeService');
    const service = this.#services.get(id);
    if (!service) return;
    service.removed = true;
    this.#services.delete(id);
    for (const task of this.#tasks) if (task.service === service) this.#stopTask(task);
  }

  async claimConfig(name: string, data: string): Promise<string> {
    await this.#called('claimConfig');
    const has = this.#configs.get(name) ?? data;
    this.#configs.set(name, has);
    return has;
  }

  async createVolume(
    name: string,
    driver: string,
    _options: Readonly<Record<string, string>>,
    labels: Readonly<Record<string, string>>,
  ): Promise<void> {
    await this.#called('createVolume');
    const existing = this.#volumes.get(name);
    if (existing && existing.driver !== driver) {
      throw new VolumeError('exists', `create volume ${name}: exists with driver ${existing.driver}`);
    }
    this.#volumes.set(name, existing ?? { driver, labels });
  }

  async removeVolume(name: string): Promise<void> {
    await this.#called('removeVolume');
    this.#volumes.delete(name);
  }

  async inspectVolume(name: string) {
    await this.#called('inspectVolume');
    const volume = this.#volumes.get(name);
    return volume ? { driver: volume.driver, labels: volume.labels, status: {} } : undefined;
  }

  async volumesInUse() {
    return this.#tasks.flatMap((task) =>
      task.state !== 'running'
        ? []
        : task.spec.mounts.flatMap((mount) =>
            mount.type === 'volume'
              ? [{ containerId: task.id, driver: mount.driver, volume: mount.source }]
              : [],
          ),
    );
  }

  async #called(call: string): Promise<void> {
    this.calls.push(call);
    await turn();
    const failure = this.#failures.get('*') ?? this.#failures.get(call);
    if (failure) throw failure;
  }

  #nextId(kind: string): string {
    this.#count += 1;
    return `${kind}${this.#count}`;
  }

  #newTask(service: MemoryService): void {
    if (service.removed) return;
    const task: MemoryTask = {
      id: this.#nextId('task'),
      service,
      spec: service.spec,
      createdAt: this.#clock.now(),
      end: new AbortController(),
      nodeId: undefined,
      desired: 'running',
      state: 'pending',
      message: '',
    };
    this.#tasks.push(task);
    this.#place(task);
  }

  #place(task: MemoryTask): void {
    const drivers = task.spec.mounts.flatMap((mount) => (mount.type === 'volume' ? [mount.driver] : []));
    const running = (id: string) =>
      this.#tasks.filter((other) => other.nodeId === id && other.desired === 'running');
    const fit = [...this.#nodes.values()].filter(
      (node) =>
        node.state === 'ready' &&
        node.availability === 'active' &&
        drivers.every((driver) => node.volumeDrivers.includes(driver)) &&
        !task.spec.constraints.includes(`node.id!=${node.id}`) &&
        running(node.id).filter((other) => other.service === task.service).length <
          task.spec.maxReplicasPerNode,
    );
    const [node] = fit.sort((a, b) => running(a.id).length - running(b.id).length);
    if (!node) {
      task.message = `no suitable node (unsupported by ${this.#nodes.size} nodes)`;
      return;
    }
    Object.assign(task, { nodeId: node.id, state: 'assigned', message: '' });
    // A host without power does not take up its task, whatever the Swarm believes.
    if (!node.power) return;
    this.#clock.sleep(this.#startMs, task.end.signal).then(
      () => this.#begin(task, node.id),
      () => undefined,
    );
  }

  #begin(task: MemoryTask, nodeId: string): void {
    task.state = 'running';
    this.#program({ id: task.id, nodeId, spec: task.spec, signal: task.end.signal });
  }

  #stopTask(task: MemoryTask): void {
    if (task.desired === 'shutdown') return;
    task.desired = 'shutdown';
    const power = task.nodeId === undefined || this.#nodes.get(task.nodeId)?.power;
    if (power) {
      task.state = 'shutdown';
      task.end.abort('stop');
    }
  }

  #moveTasksOf(nodeId: string): void {
    for (const task of this.#tasks.filter((one) => one.nodeId === nodeId && one.desired === 'running')) {
      this.#stopTask(task);
      this.#newTask(task.service);
    }
  }

  #placePending(): void {
    for (const task of this.#tasks) {
      if (task.desired === 'running' && task.nodeId === undefined) this.#place(task);
    }
  }
}

/** What the twin needs. */
export interface MemorySwarmOptions {
  readonly clock: Clock;
  /** What tasks do. */
  readonly program?: TaskProgram;
  /** How long a task takes until it runs. */
  readonly startMs?: number;
}

/** A Swarm in memory, without nodes. */
export function createMemorySwarm(options: MemorySwarmOptions): MemorySwarm {
  return new MemorySwarmTwin(options);
}
