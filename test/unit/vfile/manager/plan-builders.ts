import type { ServiceState, TaskState } from '../../../../src/swarm/swarm.ts';
import type { NodeFacts, Observed, Plan, VolumeMemory } from '../../../../src/vfile/manager/observed.ts';
import { planVolume } from '../../../../src/vfile/manager/plan-volume.ts';
import type {
  MountRecord,
  ServerClaim,
  ServerRecord,
  VolumeSpec,
  VolumeStatus,
} from '../../../../src/vfile/types.ts';

export const now = 1_000_000;
export const started = '2026-01-01T00:00:00.000Z';
export const at = (seconds: number): number => Date.parse(started) + seconds * 1_000;

export const spec = (patch: Partial<VolumeSpec> = {}) => ({
  value: {
    v: 1,
    name: 'shared',
    options: {},
    baseDriver: 'vdvs',
    baseVolume: '_vF_shared',
    port: 20_500,
    createdAt: started,
    createdBy: 'n1',
    ...patch,
  } satisfies VolumeSpec,
  modRevision: 5,
});
export const status = (patch: Partial<VolumeStatus> = {}): VolumeStatus => ({
  v: 1,
  state: 'Ready',
  reason: '',
  since: started,
  baseAsked: true,
  baseReady: true,
  ...patch,
});
export const servedByN1 = status({ state: 'Mounted', server: { node: 'n1', address: '10.0.0.1', epoch: 3 } });
export const mount = (node: string) => ({
  value: {
    v: 1,
    node,
    host: `host-${node}`,
    address: '10.0.0.9',
    ids: { a: 1 },
    since: started,
  } satisfies MountRecord,
  modRevision: 7,
});
export const node = (id: string, patch: Partial<NodeFacts> = {}): NodeFacts => ({
  id,
  host: `host-${id}`,
  inSwarm: true,
  availability: 'active',
  state: 'ready',
  alive: true,
  silentMs: 0,
  drivers: ['vdvs'],
  leads: 0,
  servers: 0,
  ...patch,
});
export const dead = (id: string, patch: Partial<NodeFacts> = {}): NodeFacts =>
  node(id, { alive: false, silentMs: 100, ...patch });
export const service = (constraints: string[] = [], replicas = 1): ServiceState => ({
  id: 's1',
  name: 'vfile-shared',
  labels: {},
  constraints,
  replicas,
  image: 'vfile/fileserver',
  createdAt: at(0),
  updatedAt: at(0),
});
export const task = (id: string, patch: Partial<TaskState> = {}): TaskState => ({
  id,
  serviceId: 's1',
  nodeId: 'n1',
  desired: 'running',
  state: 'running',
  message: '',
  createdAt: at(0),
  updatedAt: at(0),
  ...patch,
});
export const claim = (nodeId: string, epoch: number): ServerClaim => ({
  v: 1,
  node: nodeId,
  epoch,
  since: new Date(at(2)).toISOString(),
});
export const server = (nodeId: string, epoch: number): ServerRecord => ({
  v: 1,
  node: nodeId,
  host: `host-${nodeId}`,
  address: '10.0.0.1',
  port: 20_500,
  epoch,
  instance: 1,
  since: started,
});
/** The server on n1 was seen, and has been missing for so many ms. */
export const missing = (ms: number, patch: VolumeMemory = {}): VolumeMemory => ({
  unservedSince: now - ms,
  claimMissingSince: now - ms,
  lastClaim: { claim: claim('n1', 3), since: now - 600_000 },
  ...patch,
});

export const settings: Observed['settings'] = {
  baseDriver: 'vdvs',
  lingerMs: 30_000,
  serverLeaseMs: 5_000,
  deadNodeMs: 300_000,
  startDeadlineMs: 60_000,
  standby: true,
  standbyAfterMs: 10_000,
};

export function plan(patch: Partial<Observed>): Plan {
  return planVolume({
    name: 'shared',
    spec: spec(),
    status: status(),
    mounts: [],
    claim: undefined,
    server: undefined,
    move: undefined,
    service: undefined,
    tasks: [],
    nodes: [node('n1'), node('n2'), node('n3')],
    memory: {},
    settings,
    inCircles: false,
    now,
    ...patch,
  });
}

/** A plan in one line. */
export function say(patch: Partial<Observed>): string {
  const made = plan(patch);
  const soon = made.kind === 'done' && made.lookAfterMs !== undefined ? ` for ${made.lookAfterMs}` : '';
  if (made.kind === 'done') return `${made.state}: done${soon}`;
  if (made.kind === 'wait') return `${made.state}: wait ${made.deadline - now}: ${made.reason}`;
  const { step } = made;
  const count = step.do === 'scaleService' ? ` ${step.replicas}` : '';
  const constraints = 'constraints' in step ? step.constraints : undefined;
  const where = constraints ? ` [${constraints.join(' ')}]` : '';
  return `${made.state}: ${step.do}${count}${where}: ${made.reason}`;
}

export const used = { mounts: [mount('n2')], service: service() };
