import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import type { ServiceState, Swarm, SwarmNode, TaskState } from '../../swarm/swarm.ts';
import { labelNames } from '../names.ts';
import { CachedRead } from './cached-read.ts';

/** How old the list of nodes may be when a server is to be placed, and otherwise. */
const placingMs = 1_000;
/** The list of all services is read once per round over all volumes; single ones are read when something is to be done. */
const roundMs = 60_000;
/** How old the tasks of a service that serves may be: with a standby among them, and while one is expected. */
const standbyMs = { there: 30_000, expected: 1_500 } as const;

/** The tasks of one service, as of the server of one epoch. */
interface StandbyTasks {
  readonly epoch: number | undefined;
  readonly read: CachedRead<TaskState[]>;
  readonly maxAgeMs: number;
}

/** This cluster's services and nodes as the manager needs them: few calls however many volumes there are. */
export class SwarmView {
  readonly #swarm: Swarm;
  readonly #clusterId: string;
  readonly #clock: Clock;
  readonly #nodes: CachedRead<SwarmNode[]>;
  readonly #services: CachedRead<Map<string, ServiceState[]>>;
  /** Tasks of the services that serve and have a standby, or will have one, by service. */
  readonly #standbys = new Map<string, StandbyTasks>();
  /** Volumes whose service was read singly, or changed by us, since the list of all was read. */
  readonly #newer = new Map<string, { readonly service: ServiceState | undefined }>();

  constructor(options: { readonly swarm: Swarm; readonly clusterId: string; readonly clock: Clock }) {
    const { swarm, clusterId, clock } = options;
    this.#swarm = swarm;
    this.#clusterId = clusterId;
    this.#clock = clock;
    this.#nodes = new CachedRead({ clock, fetch: () => swarm.nodes() });
    this.#services = new CachedRead({ clock, fetch: () => this.#readAll() });
  }

  /** @param placing whether a decision depends on what is drained and ready this moment. */
  nodes(placing: boolean): Promise<SwarmNode[]> {
    return this.#nodes.read(placing ? placingMs : roundMs);
  }

  /** Addresses of the managers. */
  async managers(): Promise<string[]> {
    const nodes = await this.#nodes.read(roundMs);
    return nodes.filter((node) => node.role === 'manager').map((node) => node.address);
  }

  /** Reads the list of all services anew. */
  async refresh(): Promise<void> {
    await this.#services.read(0);
  }

  /** All services of this cluster's volumes, as of the last reading of the list, by volume. */
  all(): Promise<ReadonlyMap<string, readonly ServiceState[]>> {
    return this.#services.read(roundMs);
  }

  /**
   * The service of a volume.
   * @param fresh whether to ask the Swarm now; else what was last known.
   */
  async serviceOf(volume: string, fresh: boolean): Promise<ServiceState | undefined> {
    if (!fresh) {
      const services = await this.#services.read(roundMs);
      const newer = this.#newer.get(volume);
      return newer ? newer.service : services.get(volume)?.[0];
    }
    const found = await this.#swarm.services(labelNames.volume, volume);
    const ours = found.filter((service) => this.#isOurs(service));
    if (ours.length > 1) {
      const names = ours.map((service) => service.name).join(', ');
      throw new VolumeError('conflict', `more than one service has the label of volume ${volume}: ${names}`);
    }
    const [service] = ours;
    this.#newer.set(volume, { service });
    return service;
  }

  tasks(serviceId: string): Promise<TaskState[]> {
    return this.#swarm.tasks(serviceId);
  }

  /**
   * The tasks of a service that serves and has a standby, or will have one; may be a little old.
   * @param epoch of the server: what was read while another one served is of no use, its standby may be the server now.
   */
  async standbyTasks(serviceId: string, epoch: number | undefined): Promise<TaskState[]> {
    const known = this.#standbys.get(serviceId);
    const current = known?.epoch === epoch ? known : undefined;
    const read = current?.read ?? new CachedRead({ clock: this.#clock, fetch: () => this.tasks(serviceId) });
    const tasks = await read.read(current?.maxAgeMs ?? standbyMs.expected);
    const running = tasks.filter(({ desired, state }) => desired === 'running' && state === 'running');
    const maxAgeMs = running.length > 1 ? standbyMs.there : standbyMs.expected;
    this.#standbys.set(serviceId, { epoch, read, maxAgeMs });
    return tasks;
  }

  #isOurs(service: ServiceState): boolean {
    return service.labels[labelNames.cluster] === this.#clusterId;
  }

  async #readAll(): Promise<Map<string, ServiceState[]>> {
    // What is read singly while the list is on its way may be newer than the list: it stays.
    const before = new Set(this.#newer.keys());
    const byVolume = new Map<string, ServiceState[]>();
    for (const service of await this.#swarm.services(labelNames.cluster, this.#clusterId)) {
      const volume = service.labels[labelNames.volume];
      if (volume === undefined) continue;
      byVolume.set(volume, [...(byVolume.get(volume) ?? []), service]);
    }
    for (const volume of before) this.#newer.delete(volume);
    const ids = new Set([...byVolume.values()].flat().map(({ id }) => id));
    for (const id of this.#standbys.keys()) if (!ids.has(id)) this.#standbys.delete(id);
    return byVolume;
  }
}
