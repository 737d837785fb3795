import type { ServiceState, TaskState } from '../../swarm/swarm.ts';
import type { Read } from '../read-volume.ts';
import type { VfileSettings } from '../settings.ts';
import type {
  MountRecord,
  MoveRequest,
  ServerClaim,
  ServerRecord,
  VolumeSpec,
  VolumeStatus,
} from '../types.ts';

/** What is known of a node when a volume is planned. */
export interface NodeFacts {
  readonly id: string;
  readonly host: string;
  /** False for a node that mounts a volume but has left the Swarm. */
  readonly inSwarm: boolean;
  readonly availability: 'active' | 'pause' | 'drain';
  /** Swarm's own opinion; up to 15 s late for a dead node. */
  readonly state: 'ready' | 'down' | 'unknown' | 'disconnected';
  /** Whether the node's plugin holds its lease: the fastest sign of life there is. */
  readonly alive: boolean;
  /** For how long this manager has missed the sign of life, ms; 0 while alive. */
  readonly silentMs: number;
  readonly drivers: readonly string[];
  /** How much longer a failover takes when this host is lost, for the leaders that run there: 0 for none. */
  readonly leads: number;
  /** Number of volumes served from there. */
  readonly servers: number;
}

/**
 * What the worker of a volume remembers between two looks; all times are the monotonic clock's ms. Nothing in it is
 * needed for correctness: a new leader begins with none and at worst waits once more.
 */
export interface VolumeMemory {
  /** Since when nobody uses the volume. */
  readonly unusedSince?: number;
  /** Since when somebody uses the volume and no server serves. */
  readonly unservedSince?: number;
  /** The server that serves, and since when it has been seen to. */
  readonly served?: { readonly epoch: number; readonly since: number };
  /** When the number of tasks was changed last. */
  readonly scaledAt?: number;
  /** Since when there is no claim although there should be. */
  readonly claimMissingSince?: number;
  /** The newest claim that was seen, and since when. */
  readonly lastClaim?: { readonly claim: ServerClaim; readonly since: number };
  /** The last replacement of the task: which was the newest task then. */
  readonly replaced?: { readonly at: number; readonly taskId: string | undefined };
  /** The move that is asked for: since when it is known, and when it was ordered. */
  readonly move?: { readonly revision: number; readonly since: number; readonly orderedAt?: number };
  /** The step that failed last, if none succeeded since. */
  readonly failed?: {
    readonly step: string;
    readonly message: string;
    readonly attempts: number;
    /** Whether it may well succeed by itself (what it needs did not answer, say). */
    readonly passing: boolean;
  };
}

/** Everything a plan is made from. Nothing else may decide. */
export interface Observed {
  readonly name: string;
  readonly spec: Read<VolumeSpec>;
  /** As last persisted. */
  readonly status: VolumeStatus | undefined;
  readonly mounts: readonly Read<MountRecord>[];
  readonly claim: ServerClaim | undefined;
  readonly server: ServerRecord | undefined;
  readonly move: Read<MoveRequest> | undefined;
  readonly service: ServiceState | undefined;
  /** Tasks of the service; while a server serves only those of a service with a standby, as of up to 30 s ago. */
  readonly tasks: readonly TaskState[];
  readonly nodes: readonly NodeFacts[];
  readonly memory: VolumeMemory;
  readonly settings: Pick<
    VfileSettings,
    | 'baseDriver'
    | 'lingerMs'
    | 'serverLeaseMs'
    | 'deadNodeMs'
    | 'startDeadlineMs'
    | 'standby'
    | 'standbyAfterMs'
  >;
  /** See `movedInCircles`. */
  readonly inCircles: boolean;
  /** Monotonic ms. */
  readonly now: number;
}

/** What to do next, as data. */
export type Step =
  /** Makes sure that no foreign volume has the base volume's name, before it is ever created (or removed). */
  | { readonly do: 'checkBase' }
  | { readonly do: 'createBase' }
  | { readonly do: 'createService'; readonly constraints: readonly string[] }
  | {
      readonly do: 'replaceTask';
      readonly service: ServiceState;
      readonly constraints: readonly string[];
      /** The newest task at that moment: the one to be replaced. */
      readonly taskId: string | undefined;
    }
  | {
      readonly do: 'scaleService';
      readonly serviceId: string;
      readonly replicas: number;
      /** Absent: as they are. */
      readonly constraints: readonly string[] | undefined;
    }
  | { readonly do: 'stopService'; readonly serviceId: string }
  | { readonly do: 'removeBase' }
  | { readonly do: 'forget' }
  /** Has the server stop, so that the standby takes over. */
  | { readonly do: 'askToStop'; readonly move: Read<MoveRequest> }
  | { readonly do: 'clearMove'; readonly move: Read<MoveRequest> }
  | { readonly do: 'clearDeleting'; readonly mount: Read<MountRecord> }
  | { readonly do: 'dropMount'; readonly mount: Read<MountRecord> };

/** The answer of the planner. `reason` is for users: what is being done, or what is waited for and why. */
export type Plan =
  | {
      readonly kind: 'step';
      readonly step: Step;
      readonly state: VolumeStatus['state'];
      readonly reason: string;
    }
  | {
      readonly kind: 'wait';
      readonly state: VolumeStatus['state'];
      readonly reason: string;
      /** Monotonic ms by which what is waited for should have come. */
      readonly deadline: number;
      /** Look again after this many ms although nothing was reported. */
      readonly lookAfterMs: number;
    }
  | {
      readonly kind: 'done';
      readonly state: VolumeStatus['state'];
      readonly reason: string;
      /** Look again after this many ms although nothing was reported; absent: never. */
      readonly lookAfterMs?: number;
    };
