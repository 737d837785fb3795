import type { ServerRecord } from '../types.ts';
import type { Observed, Plan } from './observed.ts';
import { admits, placeServer, unfitFor } from './place-server.ts';

/** At most one change of the number of tasks in this time: nodes that come and go must not have it follow them. */
const scaleEveryMs = 30_000;
/** A standby that is not there is looked for this often, so that users are soon told of it: it comes and goes unseen by etcd. */
const lookForItMs = 2_000;
/** So often when it has not come `scaleEveryMs` after the last change: there may be no second node for long. */
const lookForLateMs = 10_000;

/** Whether a second task may wait for the volume's disk: only where its mount does not keep the container from starting. */
export function standbyWanted({ settings, status }: Pick<Observed, 'settings' | 'status'>): boolean {
  return settings.standby && status?.baseDeferred === true;
}

/** The node of the server, or of the last one while there is none. */
function serverNode({ server, claim, memory, status }: Observed): string | undefined {
  return server?.node ?? claim?.node ?? memory.lastClaim?.claim.node ?? status?.server?.node;
}

/**
 * The standby: a task that runs on another live node than the server's, or the last server's. It has everything that a
 * server needs but the disk.
 */
export function standbyOf(o: Observed): { readonly node: string; readonly host: string } | undefined {
  const own = serverNode(o);
  if (own === undefined || (o.service?.replicas ?? 1) < 2) return undefined;
  for (const task of o.tasks) {
    if (task.desired !== 'running' || task.state !== 'running' || task.nodeId === own) continue;
    const node = o.nodes.find(({ id }) => id === task.nodeId);
    // A drained node's tasks are about to be stopped; a paused one's run on.
    if (!node?.alive || node.state !== 'ready' || node.availability === 'drain') continue;
    return { node: node.id, host: node.host };
  }
  return undefined;
}

/** Constraints that let the server's node and another fit one run a task; `undefined` when there is no other. */
function roomForTwo(o: Observed, server: ServerRecord): readonly string[] | undefined {
  const { baseDriver } = o.spec.value;
  const fit = o.nodes.filter((node) => unfitFor(node, baseDriver) === undefined);
  // Its constraints would be wrong soon: Swarm is about to move the server.
  if (!fit.some(({ id }) => id === server.node)) return undefined;
  const enough = (constraints: readonly string[]) =>
    fit.filter(({ id }) => admits(constraints, id)).length > 1;
  const has = o.service?.constraints ?? [];
  if (enough(has)) return has;
  const placement = placeServer({ nodes: o.nodes, baseDriver, standby: true });
  if (!placement.fit) return undefined;
  const constraints = placement.constraints.filter((one) => one !== `node.id!=${server.node}`);
  return enough(constraints) ? constraints : undefined;
}

/**
 * How many tasks a served volume should have: two once it has been served for a while and two nodes can run one, one while
 * Swarm has no node for the second. A second task that runs is never taken back: Swarm might stop the server instead. Pure.
 * @returns `undefined` when all is as it should be.
 */
export function planStandby(o: Observed, server: ServerRecord): Plan | undefined {
  const { service, settings, memory, tasks, now } = o;
  if (!service) return undefined;
  const state = 'Mounted';
  const later = (ms: number): Plan => ({ kind: 'done', state, reason: '', lookAfterMs: ms });
  const scaledAt = memory.scaledAt ?? Number.NEGATIVE_INFINITY;
  const scale = (replicas: number, constraints: readonly string[] | undefined, reason: string): Plan => {
    const from = Math.max((memory.served?.since ?? now) + settings.standbyAfterMs, scaledAt + scaleEveryMs);
    if (now < from) return later(from - now);
    const wider = constraints === service.constraints ? undefined : constraints;
    const step = { do: 'scaleService', serviceId: service.id, replicas, constraints: wider } as const;
    return { kind: 'step', step, state, reason };
  };
  const room = roomForTwo(o, server);
  if (service.replicas < 2) {
    return standbyWanted(o) && room ? scale(2, room, 'starting a standby') : undefined;
  }
  const unplaced = tasks.some((task) => task.desired === 'running' && task.nodeId === undefined);
  if (unplaced && room !== service.constraints) {
    return scale(
      room ? 2 : 1,
      room,
      room ? 'letting the standby run elsewhere' : 'no node can run a standby',
    );
  }
  if (standbyOf(o)) return undefined;
  const changedAt = Math.max(memory.served?.since ?? now, scaledAt);
  return later(now < changedAt + scaleEveryMs ? lookForItMs : lookForLateMs);
}
