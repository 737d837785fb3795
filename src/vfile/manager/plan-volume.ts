import { checkOptions } from '../options.ts';
import { describeUsers } from '../remove-volume.ts';
import type { Observed, Plan } from './observed.ts';
import { planServing } from './plan-serving.ts';

/** How long a stopped server may take to let go of its claim, beyond the claim's own lease, before it is remarked on. */
const letGoMs = 20_000;
/** Look again at what nothing reports: Swarm's tasks and services. */
const pollMs = 500;

/** How long an unused server of this volume stays, ms. */
function lingerOf({ spec, settings }: Observed): number {
  const { options, baseDriver } = spec.value;
  return checkOptions(options, baseDriver).lingerMs ?? settings.lingerMs;
}

function waitForLetGo(o: Observed, state: 'Unmounting' | 'Deleting'): Plan | undefined {
  if (!o.claim) return undefined;
  const host = o.nodes.find((node) => node.id === o.claim?.node)?.host ?? o.claim.node;
  const since = o.memory.unusedSince ?? o.now;
  return {
    kind: 'wait',
    state,
    reason: `waiting for the file server on ${host} to let go of the volume`,
    deadline: since + lingerOf(o) + o.settings.serverLeaseMs + letGoMs,
    lookAfterMs: pollMs,
  };
}

/** The removal of a volume that nobody uses: server, base volume, records, in that order. Does not linger. */
function planRemoval(o: Observed): Plan {
  const state = 'Deleting';
  const [mount] = o.mounts;
  if (mount) {
    return {
      kind: 'step',
      step: { do: 'clearDeleting', mount },
      state: o.status?.state ?? 'Mounted',
      reason: `removal refused: in use by ${describeUsers(o.mounts)}`,
    };
  }
  if (o.service) {
    const step = { do: 'stopService', serviceId: o.service.id } as const;
    return { kind: 'step', step, state, reason: 'stopping the file server' };
  }
  const wait = waitForLetGo(o, state);
  if (wait) return wait;
  if (o.status?.baseAsked) {
    return { kind: 'step', step: { do: 'removeBase' }, state, reason: `removing ${o.spec.value.baseVolume}` };
  }
  return { kind: 'step', step: { do: 'forget' }, state, reason: 'removing the records' };
}

function planBase(o: Observed): Plan | undefined {
  if (o.status?.baseReady) return undefined;
  const reason = `creating ${o.spec.value.baseVolume} with driver ${o.spec.value.baseDriver}`;
  const step = o.status?.baseAsked ? ({ do: 'createBase' } as const) : ({ do: 'checkBase' } as const);
  return { kind: 'step', step, state: 'Creating', reason };
}

function planUnused(o: Observed): Plan {
  const since = o.memory.unusedSince ?? o.now;
  const end = since + lingerOf(o);
  if (o.service && o.now < end) {
    return {
      kind: 'wait',
      state: 'Unmounting',
      reason: 'not in use; the file server stays for a while in case it is needed again',
      deadline: end,
      lookAfterMs: end - o.now,
    };
  }
  if (o.service) {
    const step = { do: 'stopService', serviceId: o.service.id } as const;
    return { kind: 'step', step, state: 'Unmounting', reason: 'not in use; stopping the file server' };
  }
  return waitForLetGo(o, 'Unmounting') ?? { kind: 'done', state: 'Ready', reason: '' };
}

/** The mount of a node that will not come back to unmount: it has left the Swarm, or has been silent for too long. */
function planDeadMount(o: Observed): Plan | undefined {
  for (const mount of o.mounts) {
    const node = o.nodes.find(({ id }) => id === mount.value.node);
    const gone = node !== undefined && !node.alive && !node.inSwarm;
    const dead = node !== undefined && !node.alive && node.silentMs >= o.settings.deadNodeMs;
    if (!gone && !dead) continue;
    const why = gone ? 'has left the Swarm' : 'shows no sign of life any more';
    return {
      kind: 'step',
      step: { do: 'dropMount', mount },
      state: o.status?.state ?? 'Mounted',
      reason: `the mounts of ${mount.value.host} count no more: it ${why}`,
    };
  }
  return undefined;
}

/**
 * The next step for one volume, from everything that is known of it. Pure: the same facts give the same plan, so its tests
 * are the specification of the manager. The step may be done twice or late without harm; after it everything is looked at anew.
 */
export function planVolume(o: Observed): Plan {
  const dead = planDeadMount(o);
  if (dead) return dead;
  if (o.spec.value.deleting) return planRemoval(o);
  const base = planBase(o);
  if (base) return base;
  return o.mounts.length === 0 ? planUnused(o) : planServing(o);
}
