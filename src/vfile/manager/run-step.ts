import type { Condition, Store } from '../../etcd/store.ts';
import { VolumeError } from '../../lib/errors.ts';
import type { EngineVolumes, Swarm } from '../../swarm/swarm.ts';
import { vfileKeys } from '../keys.ts';
import { volumeLabels } from '../names.ts';
import { checkOptions, isVdvs } from '../options.ts';
import type { Read } from '../read-volume.ts';
import { readVolume } from '../read-volume.ts';
import { clearDeleting, describeUsers } from '../remove-volume.ts';
import type { VolumeSpec, VolumeStatus } from '../types.ts';
import type { Step } from './observed.ts';
import { renderService, type ServiceSettings } from './render-service.ts';

/** The part of a won election that steps need. */
export interface Leading {
  /** Holds at etcd only as long as this leadership does. */
  readonly condition: Condition;
  held(): boolean;
}

/** What steps act upon. */
export interface StepParts {
  readonly store: Store;
  readonly swarm: Swarm;
  readonly volumes: EngineVolumes;
  readonly leading: Leading;
  readonly clusterId: string;
  readonly settings: ServiceSettings;
  /** Addresses of the managers. */
  readonly managers: () => Promise<readonly string[]>;
}

/** What a step found out about the base volume; to be persisted at once. */
export type StatusPatch = Partial<Pick<VolumeStatus, 'baseAsked' | 'baseReady' | 'baseDeferred'>>;

/** A step carried out: idempotent, and with its conditions checked once more where another may have changed them. */
type Action<S extends Step['do']> = (
  parts: StepParts,
  spec: Read<VolumeSpec>,
  step: Extract<Step, { do: S }>,
) => Promise<StatusPatch>;

async function render(parts: StepParts, spec: VolumeSpec, constraints: readonly string[]) {
  const { clusterId, settings } = parts;
  return renderService({ spec, clusterId, constraints, managers: await parts.managers(), settings });
}

async function fenced(parts: StepParts, what: string, ...txn: Parameters<Store['txn']>): Promise<void> {
  const [when, then] = txn;
  const { done } = await parts.store.txn([parts.leading.condition, ...when], then);
  if (!done) throw new VolumeError('conflict', `${what}: the records changed meanwhile`);
}

const actions: { readonly [S in Step['do']]: Action<S> } = {
  checkBase: async ({ volumes }, { value: spec }) => {
    const existing = await volumes.inspectVolume(spec.baseVolume);
    if (existing) {
      throw new VolumeError(
        'exists',
        `a volume ${spec.baseVolume} (driver ${existing.driver}) exists already and was not made for ${spec.name}; remove or rename it`,
      );
    }
    return { baseAsked: true };
  },

  createBase: async ({ volumes, clusterId }, { value: spec }) => {
    const { base } = checkOptions(spec.options, spec.baseDriver);
    // A container with such a volume starts at once, and the disk arrives in it as soon as no other host has it.
    const deferred = isVdvs(spec.baseDriver);
    const options = deferred ? { ...base, attach: 'deferred' } : base;
    await volumes.createVolume(spec.baseVolume, spec.baseDriver, options, volumeLabels(clusterId, spec.name));
    return { baseReady: true, baseDeferred: deferred };
  },

  removeBase: async ({ volumes }, { value: spec }) => {
    await volumes.removeVolume(spec.baseVolume);
    return { baseAsked: false, baseReady: false };
  },

  createService: async (parts, { value: spec }, { constraints }) => {
    await parts.swarm.createService(await render(parts, spec, constraints));
    return {};
  },

  replaceTask: async (parts, { value: spec }, { service, constraints }) => {
    const rendered = await render(parts, spec, constraints);
    // Not an update. Swarm would start the new task before it stops the old one, and the new one waits for the disk that the
    // old one holds. And with a lost host, an update races with Swarm itself: when it finds the host down (10 to 15 s after
    // the loss) before the new task is reported to run, it makes another one for the lost task and then stops the first,
    // which serves by then. A new service has no old tasks.
    await parts.swarm.removeService(service.id);
    await parts.swarm.createService(rendered);
    return {};
  },

  scaleService: async ({ swarm }, _spec, { serviceId, replicas, constraints }) => {
    if (replicas < 2) {
      // Of two that run, Swarm might stop the one that serves.
      const running = (await swarm.tasks(serviceId)).filter(
        ({ desired, nodeId }) => desired === 'running' && nodeId !== undefined,
      );
      if (running.length > 1) throw new VolumeError('conflict', 'the standby has a node by now');
    }
    await swarm.scaleService(serviceId, replicas, constraints);
    return {};
  },

  stopService: async ({ store, swarm }, { value: spec }, { serviceId }) => {
    // A mount recorded after this look finds a stopping server and waits for the next one: slower, never wrong.
    const { mounts } = readVolume(spec.name, (await store.list(vfileKeys.volume(spec.name))).entries);
    if (mounts.length > 0) {
      throw new VolumeError('conflict', `${spec.name} is in use again by ${describeUsers(mounts)}`);
    }
    await swarm.removeService(serviceId);
    return {};
  },

  forget: async (parts, spec) => {
    const { name, port } = spec.value;
    await fenced(
      parts,
      `removing the records of ${name}`,
      [{ key: vfileKeys.spec(name), modRevision: spec.modRevision }],
      [{ deletePrefix: vfileKeys.volume(name) }, { delete: vfileKeys.port(port) }],
    );
    return {};
  },

  askToStop: async (parts, { value: spec }, { move }) => {
    const key = vfileKeys.move(spec.name);
    const { modRevision } = move;
    const what = `moving ${spec.name} to its standby`;
    await fenced(parts, what, [{ key, modRevision }], [{ put: key, value: { ...move.value, stop: true } }]);
    return {};
  },

  clearMove: async (parts, { value: spec }, { move }) => {
    const key = vfileKeys.move(spec.name);
    const { modRevision } = move;
    await fenced(parts, `ending the move of ${spec.name}`, [{ key, modRevision }], [{ delete: key }]);
    return {};
  },

  clearDeleting: async ({ store, leading }, spec, { mount }) => {
    if (!(await clearDeleting(store, spec, mount, [leading.condition]))) {
      throw new VolumeError('conflict', `${spec.value.name}: the records changed meanwhile`);
    }
    return {};
  },

  dropMount: async (parts, { value: spec }, { mount }) => {
    const { node, host } = mount.value;
    const key = vfileKeys.mount(spec.name, node);
    await fenced(
      parts,
      `dropping the mounts of ${host}`,
      [
        { key, modRevision: mount.modRevision },
        { key: vfileKeys.node(node), is: 'absent' },
      ],
      [{ delete: key }],
    );
    return {};
  },
};

/**
 * Carries out one step.
 * @throws VolumeError; whatever it is, the volume is looked at again and planned anew.
 */
export async function runStep(parts: StepParts, spec: Read<VolumeSpec>, step: Step): Promise<StatusPatch> {
  if (!parts.leading.held()) throw new VolumeError('conflict', 'this manager does not lead any more');
  const action = actions[step.do] as Action<Step['do']>;
  return action(parts, spec, step);
}
