import type { TaskState } from '../../swarm/swarm.ts';
import type { Observed, Plan } from './observed.ts';
import { admits, placeServer, unfitFor } from './place-server.ts';
import { moveOrdered, planMove } from './plan-move.ts';
import { planStandby, standbyOf, standbyWanted } from './plan-standby.ts';

/** A file server whose ganesha died restarts it in place; its host is fine, so that is fastest. So long it may take. */
const restartInPlaceMs = 10_000;
/** A task that ended on a live host is restarted by Swarm at once; so long it may take until a new one shows. */
const swarmRestartMs = 3_000;
/** How long Swarm may take to act upon an order. */
const swarmActsMs = 5_000;
/** So long after the loss of the claim a standby may take: the disk must be let go and its journal be replayed. */
const standbyTakesMs = 20_000;
/** Look again at what nothing reports: Swarm's tasks. Claims and servers are reported at once. */
const pollMs = 1_000;

/** Why a new task is wanted. */
interface Replace {
  readonly cause: string;
  /** Nodes to keep away from. */
  readonly avoid?: readonly string[];
}

/** The task that will serve: of those that Swarm means to run, one on a live node rather than another, then the newest. */
function likelyTask({ tasks, nodes }: Observed): TaskState | undefined {
  const live = ({ nodeId }: TaskState) => nodes.some(({ id, alive }) => id === nodeId && alive);
  const rank = (task: TaskState): number => (live(task) ? 2 : task.nodeId === undefined ? 0 : 1);
  return tasks
    .filter((task) => task.desired === 'running' || task.desired === 'ready')
    .sort((a, b) => rank(b) - rank(a) || b.createdAt - a.createdAt)[0];
}

/** What went wrong with the last tasks, for users; '' when Swarm reports nothing. */
function lastTrouble(tasks: readonly TaskState[]): string {
  const [last] = tasks.filter((task) => task.message !== '').sort((a, b) => b.createdAt - a.createdAt);
  return last ? `; last message of Swarm: ${last.message}` : '';
}

function stateOf(o: Observed): 'Mounting' | 'Failing over' {
  return o.status?.server ? 'Failing over' : 'Mounting';
}

function hostOf(o: Observed, nodeId: string | undefined): string {
  return o.nodes.find((node) => node.id === nodeId)?.host ?? nodeId ?? 'unknown';
}

/** From when this attempt to get a server counts. */
function attemptSince({ memory, now }: Observed): number {
  return Math.max(memory.unservedSince ?? now, memory.replaced?.at ?? 0);
}

function wait(o: Observed, reason: string, deadline: number): Plan {
  const { memory, settings, now } = o;
  const unserved = now - (memory.unservedSince ?? now);
  const late = unserved >= settings.startDeadlineMs;
  const text = late
    ? `no file server after ${Math.round(unserved / 1_000)} s: ${reason}${lastTrouble(o.tasks)}`
    : reason;
  const lookAfterMs = deadline > now ? Math.min(pollMs, deadline - now) : pollMs;
  return { kind: 'wait', state: late ? 'Error' : stateOf(o), reason: text, deadline, lookAfterMs };
}

/** Orders a new task, unless that was done for this very task a moment ago, or no node is fit. */
function replace(o: Observed, { cause, avoid }: Replace): Plan {
  const { service, memory, now } = o;
  const taskId = likelyTask(o)?.id;
  if (memory.replaced && memory.replaced.taskId === taskId && now - memory.replaced.at < swarmActsMs) {
    const deadline = memory.replaced.at + swarmActsMs;
    return wait(o, `${cause}; waiting for Swarm to start another task`, deadline);
  }
  const placement = placeServer({
    nodes: o.nodes,
    baseDriver: o.spec.value.baseDriver,
    standby: standbyWanted(o),
    ...(avoid ? { avoid } : {}),
  });
  if (!placement.fit) return wait(o, `${cause}; ${placement.reason}`, deadlineOf(o));
  if (!service) {
    const step = { do: 'createService', constraints: placement.constraints } as const;
    return { kind: 'step', step, state: stateOf(o), reason: cause };
  }
  const step = { do: 'replaceTask', service, constraints: placement.constraints, taskId } as const;
  return { kind: 'step', step, state: stateOf(o), reason: cause };
}

function deadlineOf(o: Observed): number {
  return attemptSince(o) + o.settings.startDeadlineMs;
}

/** Somebody holds the claim but does not serve: it is starting, or starting ganesha again. */
function planClaimed(o: Observed): Plan {
  const { claim, memory, now } = o;
  const host = hostOf(o, claim?.node);
  const holder = o.nodes.find((node) => node.id === claim?.node);
  if (holder && !holder.alive) {
    // It vanishes by itself: until then nobody else may serve, whatever we do.
    const deadline = (memory.unservedSince ?? now) + 2 * o.settings.serverLeaseMs;
    return wait(o, `${host} is lost; its claim runs out`, deadline);
  }
  const again = o.status?.server !== undefined && o.status.server.epoch === claim?.epoch;
  const since = Math.max(
    memory.unservedSince ?? now,
    memory.lastClaim?.since ?? now,
    memory.replaced?.at ?? 0,
  );
  const stays = again && o.inCircles;
  const limit = since + (again && !stays ? restartInPlaceMs : o.settings.startDeadlineMs);
  if (now >= limit) {
    return replace(o, {
      cause: `the file server on ${host} does not serve`,
      avoid: claim ? [claim.node] : [],
    });
  }
  const moves = again && moveOrdered(o);
  const what = moves ? 'stops, as asked' : again ? 'restarts' : 'starts';
  const why = stays ? '; it failed on other hosts too, so it stays there and pauses before each attempt' : '';
  return wait(o, `the file server on ${host} ${what}${why}`, limit);
}

/** Swarm has a task that has no node yet. */
function planUnplaced(o: Observed, task: TaskState): Plan {
  const { baseDriver } = o.spec.value;
  const admitted = o.nodes.some(
    (node) => unfitFor(node, baseDriver) === undefined && admits(o.service?.constraints ?? [], node.id),
  );
  // The nodes that the constraints leave are not fit any more (drained, lost): choose anew.
  if (!admitted) return replace(o, { cause: 'the nodes chosen before are not available' });
  const why = task.message === '' ? '' : `: ${task.message}`;
  return wait(o, `waiting for Swarm to place the file server${why}`, deadlineOf(o));
}

/** Nobody holds the claim, and a standby waits for the disk: it claims when it has it. */
function planTakeover(o: Observed, standby: { node: string; host: string }, deadline: number): Plan {
  const last = o.memory.lastClaim?.claim.node ?? o.status?.server?.node;
  if (o.now < deadline) {
    const lives = o.nodes.some(({ id, alive, state }) => id === last && alive && state !== 'down');
    const host = hostOf(o, last);
    const cause = lives ? `the file server on ${host} stopped` : `${host} is lost`;
    return wait(o, `${cause}; the standby on ${standby.host} takes over`, deadline);
  }
  const avoid = last === undefined ? [standby.node] : [standby.node, last];
  return replace(o, { cause: `the standby on ${standby.host} does not take over`, avoid });
}

/** Nobody holds the claim: no server is there, or one is on its way. */
function planUnclaimed(o: Observed): Plan {
  const { memory, now } = o;
  const missingSince = memory.claimMissingSince ?? now;
  const standby = standbyOf(o);
  if (standby) return planTakeover(o, standby, missingSince + standbyTakesMs);
  const task = likelyTask(o);
  if (!task) {
    const limit = Math.max(missingSince, memory.replaced?.at ?? 0) + swarmActsMs;
    if (now >= limit) return replace(o, { cause: 'Swarm runs no task for the file server' });
    return wait(o, 'waiting for Swarm to make a task for the file server', limit);
  }
  if (task.nodeId === undefined) return planUnplaced(o, task);
  const host = hostOf(o, task.nodeId);
  const node = o.nodes.find(({ id }) => id === task.nodeId);
  if (!node?.alive || node.state === 'down')
    return replace(o, { cause: `${host} is lost`, avoid: [task.nodeId] });

  const last = memory.lastClaim?.claim;
  // The task that held the claim lost it, yet its host lives: Swarm restarts it if it ended; if not, it claims the volume anew, or is stuck.
  const sameAsBefore =
    o.status?.server !== undefined &&
    task.nodeId === (last?.node ?? o.status.server.node) &&
    task.createdAt <= Date.parse(last?.since ?? '9999-01-01T00:00:00Z');
  if (sameAsBefore) {
    const [what, toCome, ms] =
      task.state === 'running'
        ? (['lost its claim', 'it to claim the volume anew', restartInPlaceMs] as const)
        : (['stopped', 'Swarm to restart it', swarmRestartMs] as const);
    const cause = `the file server on ${host} ${what}`;
    if (now >= missingSince + ms) return replace(o, { cause, avoid: [task.nodeId] });
    return wait(o, `${cause}; waiting for ${toCome}`, missingSince + ms);
  }
  const limit = deadlineOf(o);
  if (now >= limit) {
    return replace(o, { cause: `the file server on ${host} does not start`, avoid: [task.nodeId] });
  }
  return wait(o, `the file server starts on ${host} (task ${task.state})`, limit);
}

/** The next step for a volume that somebody uses and whose base volume exists: get it served, keep it served. */
export function planServing(o: Observed): Plan {
  if (o.server) {
    const served = { kind: 'done', state: 'Mounted', reason: '' } as const;
    return planMove(o, o.server) ?? planStandby(o, o.server) ?? served;
  }
  if (!o.service) return replace(o, { cause: 'starting a file server' });
  return o.claim ? planClaimed(o) : planUnclaimed(o);
}
