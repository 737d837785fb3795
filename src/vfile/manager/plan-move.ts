import type { ServerRecord } from '../types.ts';
import type { Observed, Plan } from './observed.ts';
import { placeServer, unfitFor } from './place-server.ts';
import { standbyOf } from './plan-standby.ts';

/** Why a volume moves that somebody wants elsewhere. */
export const askedFor = 'moved as asked';

/** How long a server that was told to stop may go on before it is told again. */
const stopMs = 20_000;
/** After this a move that nobody withdrew, and for which no node is fit, is forgotten. */
const giveUpMs = 120_000;
/** Look again at what nothing reports: whether a node has become fit. */
const pollMs = 1_000;

/** Where a server may go: the node that was named, or any other than its own. */
function placeMove(o: Observed, server: ServerRecord, to: string | undefined) {
  const { baseDriver } = o.spec.value;
  if (to === undefined) {
    const others = o.nodes.filter(({ id }) => id !== server.node);
    const placement = placeServer({ nodes: others, baseDriver });
    if (!placement.fit) return placement;
    return { fit: true, constraints: [...placement.constraints, `node.id!=${server.node}`].sort() } as const;
  }
  const target = o.nodes.find(({ id }) => id === to);
  const unfit = target ? unfitFor(target, baseDriver) : 'has left the Swarm';
  if (unfit !== undefined) return { fit: false, reason: `${target?.host ?? to}: ${unfit}` } as const;
  const constraints = o.nodes
    .filter(({ id, inSwarm }) => inSwarm && id !== to)
    .map(({ id }) => `node.id!=${id}`)
    .sort();
  return { fit: true, constraints } as const;
}

/** Whether the server has been told to stop for a move. */
export function moveOrdered({ move, memory }: Pick<Observed, 'move' | 'memory'>): boolean {
  return memory.move?.orderedAt !== undefined || move?.value.stop === true;
}

/**
 * The next step of a move that was asked for, while the volume is served: order it, wait until the old server stops, end
 * it when another one serves. Between the two servers the volume is planned as in any failover. A standby takes over without a
 * new service where it may: the server stops by itself, and Swarm starts the next standby in its place. Pure.
 * @returns `undefined` when nobody asked for one.
 */
export function planMove(o: Observed, server: ServerRecord): Plan | undefined {
  const { move, service, memory, now } = o;
  if (!move || !service) return undefined;
  const { to, epoch, stop } = move.value;
  const state = 'Mounted';
  const since = memory.move?.since ?? now;
  const end = (reason: string): Plan => ({ kind: 'step', step: { do: 'clearMove', move }, state, reason });
  if (server.epoch > epoch || server.node === to) return end(`served from ${server.host}, as asked`);
  const wait = (reason: string, deadline: number): Plan => ({
    kind: 'wait',
    state,
    reason,
    deadline,
    lookAfterMs: Math.min(pollMs, Math.max(1, deadline - now)),
  });
  const orderedAt = memory.move?.orderedAt ?? (stop ? since : Number.NEGATIVE_INFINITY);
  const stopsBy = orderedAt + stopMs;
  if (now < stopsBy) return wait(`moving: waiting for the file server on ${server.host} to stop`, stopsBy);
  const placement = placeMove(o, server, to);
  if (!placement.fit) {
    if (now >= since + giveUpMs) return end(`not moved: ${placement.reason}`);
    return wait(`cannot move: ${placement.reason}`, since + giveUpMs);
  }
  const standby = standbyOf(o);
  if (!stop && standby && (to === undefined || to === standby.node)) {
    return { kind: 'step', step: { do: 'askToStop', move }, state, reason: askedFor };
  }
  const { constraints } = placement;
  const step = { do: 'replaceTask', service, constraints, taskId: undefined } as const;
  return { kind: 'step', step, state, reason: askedFor };
}
