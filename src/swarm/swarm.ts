/** A node as the Swarm sees it. */
export interface SwarmNode {
  readonly id: string;
  readonly hostname: string;
  readonly role: 'manager' | 'worker';
  readonly availability: 'active' | 'pause' | 'drain';
  /** Swarm's own opinion; up to 15 s late for a dead node. */
  readonly state: 'ready' | 'down' | 'unknown' | 'disconnected';
  /** Address by which the Swarm knows the node. */
  readonly address: string;
  /** Whether this is the Swarm's leader. */
  readonly leader: boolean;
  /** Names of the volume drivers that the node reports, `:latest` stripped. */
  readonly volumeDrivers: readonly string[];
}

/** The engine this process talks to, as `docker info` tells. */
export interface LocalNode {
  readonly nodeId: string;
  readonly clusterId: string | undefined;
  readonly address: string;
  readonly isManager: boolean;
  readonly hostname: string;
  /** Addresses of the managers, without port; known on workers too. */
  readonly managers: readonly { readonly nodeId: string; readonly address: string }[];
}

/** A mount of a service. Volumes always name their driver: without one a node makes an empty local volume. */
export type ServiceMount =
  | {
      readonly type: 'volume';
      readonly source: string;
      readonly target: string;
      readonly driver: string;
      readonly driverOptions?: Readonly<Record<string, string>>;
    }
  | { readonly type: 'bind'; readonly source: string; readonly target: string; readonly readOnly: boolean };

/** A service whose tasks run on the host network. */
export interface ServiceSpec {
  /** Unique in the Swarm, at most 63 characters; services are nevertheless looked up by label. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly image: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly hostname: string;
  readonly mounts: readonly ServiceMount[];
  readonly capabilities: readonly string[];
  /** As `docker service create --constraint`, for example `node.id!=abc`. */
  readonly constraints: readonly string[];
  /** How many tasks run at the same time. */
  readonly replicas: number;
  /** How many of them one node may run. */
  readonly maxReplicasPerNode: number;
  /** ms between TERM and KILL. */
  readonly stopGraceMs: number;
}

/** A service as it was read. */
export interface ServiceState {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly constraints: readonly string[];
  /** How many tasks Swarm is to run; not how many do. */
  readonly replicas: number;
  readonly image: string;
  /** Wall ms. */
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A task of a service. */
export interface TaskState {
  readonly id: string;
  readonly serviceId: string;
  readonly nodeId: string | undefined;
  readonly desired: string;
  readonly state: string;
  /** What Swarm says went wrong, '' when nothing. */
  readonly message: string;
  /** Wall ms of the manager that made the task. */
  readonly createdAt: number;
  /** Wall ms of the last change of state. */
  readonly updatedAt: number;
}

/** The Swarm, through one manager's engine. Every call has a deadline (10 s). */
export interface Swarm {
  local(): Promise<LocalNode>;
  nodes(): Promise<SwarmNode[]>;
  /** Services whose label has exactly this value; `value` absent: all that have the label. */
  services(label: string, value?: string): Promise<ServiceState[]>;
  tasks(serviceId: string): Promise<TaskState[]>;
  /** @throws VolumeError `exists` when the name is taken. @returns the service's ID. */
  createService(spec: ServiceSpec): Promise<string>;
  /**
   * Changes how many tasks a service runs, and nothing else about it: tasks that run go on. Idempotent. When there are to be
   * fewer, Swarm first takes those that have no node, then any.
   * @param constraints where tasks may run from now on; every node that runs one must still be among them, else Swarm
   *   moves that task. Absent: as before.
   * @throws VolumeError `not_found` when there is no such service, `conflict` when others change it again and again.
   */
  scaleService(id: string, replicas: number, constraints?: readonly string[]): Promise<void>;
  /** Success also when it is gone already. */
  removeService(id: string): Promise<void>;
  /**
   * Creates a Swarm config if none of that name exists: the Swarm's raft makes exactly one caller the first.
   * @returns the data that the config has now (this caller's or the earlier one's).
   */
  claimConfig(name: string, data: string, labels: Readonly<Record<string, string>>): Promise<string>;
}

/** A volume through the local engine (any driver). */
export interface EngineVolumes {
  /** `docker volume create`. Idempotent as far as the driver is. Errors carry the driver's own text. */
  createVolume(
    name: string,
    driver: string,
    options: Readonly<Record<string, string>>,
    labels: Readonly<Record<string, string>>,
  ): Promise<void>;
  /** `docker volume rm`; success when it is gone. `busy` when in use. */
  removeVolume(name: string): Promise<void>;
  /** `undefined` when no driver knows it. */
  inspectVolume(
    name: string,
  ): Promise<
    | { driver: string; labels: Readonly<Record<string, string>>; status: Readonly<Record<string, unknown>> }
    | undefined
  >;
}

/** What the local engine runs; for reconciling mount counts after a crash. */
export interface EngineContainers {
  /** Volumes of running (or starting) containers: driver, volume name, container ID. */
  volumesInUse(): Promise<{ containerId: string; driver: string; volume: string }[]>;
}
