import { isDeepStrictEqual } from 'node:util';
import { movesKept } from '../circles.ts';
import { serviceNameOf } from '../names.ts';
import type { FailoverRecord, ServerRecord, VolumeStatus } from '../types.ts';
import type { Observed, Plan } from './observed.ts';
import { askedFor, moveOrdered } from './plan-move.ts';
import { standbyOf } from './plan-standby.ts';

/** Deadlines come from a clock of their own: so many ms apart they are the same. */
const deadlineToleranceMs = 2_000;

/** Both clocks at one moment, ms. */
export interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

/** So many failovers before the last one are kept. */
const mostEarlier = 4;

function hostOf(o: Observed, nodeId: string): string {
  return o.nodes.find((node) => node.id === nodeId)?.host ?? nodeId;
}

/** The phases that are over, in ms after the server was missed; what was noted before stays. */
function withPhases(o: Observed, record: FailoverRecord, now: Moment): FailoverRecord {
  const { replaced, lastClaim } = o.memory;
  const afterLoss = (monotonic: number): number =>
    Math.max(0, Math.round(now.wall - (now.monotonic - monotonic) - Date.parse(record.at)));
  const orderedMs = record.orderedMs ?? (replaced && afterLoss(replaced.at));
  // The claim of the lost server itself may show until its lease has run out.
  const claimed = lastClaim && lastClaim.claim.epoch > (o.status?.server?.epoch ?? 0);
  const claimedMs = claimed ? afterLoss(lastClaim.since) : record.claimedMs;
  return {
    ...record,
    ...(orderedMs === undefined ? {} : { orderedMs }),
    ...(claimedMs === undefined ? {} : { claimedMs }),
  };
}

/** Who serves after a failover; `undefined` when the server came back under its old claim. */
function takenOverBy(o: Observed, record: FailoverRecord, server: ServerRecord): FailoverRecord['by'] {
  const before = o.status?.server;
  if (before?.epoch === server.epoch || server.after !== undefined) return undefined;
  const waited = record.orderedMs === undefined && !o.memory.replaced && (o.service?.replicas ?? 1) > 1;
  return waited && before?.node !== server.node ? 'standby' : 'new task';
}

/** What became of the clients: known only some time after the volume is served again. */
function withClients(o: Observed, record: FailoverRecord, now: Moment): FailoverRecord {
  const { server } = o;
  const same = (start: { epoch?: number | undefined; instance?: number | undefined } | undefined): boolean =>
    start !== undefined && start.epoch === record.epoch && start.instance === record.instance;
  if (!server || !same(server)) return record;
  const stalls = o.mounts.flatMap(({ value: { stall } }) => (stall && same(stall) ? [stall.ms] : []));
  const stallMs = Math.round(Math.max(record.stallMs ?? 0, ...stalls));
  const graceEndedMs = record.graceEndedMs ?? Math.max(0, Math.round(now.wall - Date.parse(record.at)));
  return {
    ...record,
    ...(server.grace ? { ...server.grace, graceEndedMs } : {}),
    ...(stallMs > 0 ? { stallMs } : {}),
  };
}

/** What ended the server that this one follows in the same task, and where; `undefined` for a task's first. */
function endedHere({ after, host }: ServerRecord): string | undefined {
  return after === undefined ? undefined : `on ${host}: ${after}`;
}

/**
 * A failover that no manager saw begin: the leading one was lost with the server, and the standby waits for no manager. When the
 * server was missed is not known, only since when another one serves.
 */
function unseenFailover(o: Observed, now: Moment): FailoverRecord | undefined {
  const { server } = o;
  const before = o.status?.server;
  if (!server || !before || server.epoch <= before.epoch || o.mounts.length === 0) return undefined;
  const { host: to, epoch, instance } = server;
  const ended = endedHere(server);
  const why = ended === undefined ? '' : ` (${ended})`;
  const cause = `seen only when it was over: no manager led meanwhile${why}`;
  const record = {
    at: server.since,
    cause,
    from: hostOf(o, before.node),
    to,
    durationMs: 0,
    epoch,
    instance,
  };
  const by = takenOverBy(o, record, server);
  return withClients(o, { ...record, ...(by ? { by } : {}) }, now);
}

/** The record of the last failover: opened when a server that served is missed, closed when one serves again. */
function nextFailover(o: Observed, plan: Plan, now: Moment): FailoverRecord | undefined {
  const last = o.status?.lastFailover;
  const open = last !== undefined && last.durationMs === undefined;
  const lost = o.mounts.length > 0 && !o.server ? o.status?.server : undefined;
  if (lost) {
    const missedMs = now.monotonic - (o.memory.unservedSince ?? now.monotonic);
    const moved = moveOrdered(o);
    const record: FailoverRecord = open
      ? last
      : {
          at: new Date(now.wall - missedMs).toISOString(),
          cause: moved ? askedFor : plan.reason,
          from: hostOf(o, lost.node),
        };
    const decided = plan.kind === 'step' && plan.step.do === 'replaceTask';
    return withPhases(o, decided ? { ...record, cause: plan.reason } : record, now);
  }
  if (!open) return unseenFailover(o, now) ?? (last && withClients(o, last, now));
  const durationMs = Math.max(0, now.wall - Date.parse(last.at));
  if (o.server) {
    const by = takenOverBy(o, last, o.server);
    const { host: to, epoch, instance } = o.server;
    const record = { ...withPhases(o, last, now), to, ...(by ? { by } : {}), durationMs, epoch, instance };
    // What was thought while it was missing was a guess.
    const cause = endedHere(o.server);
    return withClients(o, { ...record, ...(cause === undefined ? {} : { cause }) }, now);
  }
  return o.mounts.length === 0 ? { ...last, durationMs } : last;
}

/** With the move that has just ended, if nobody had asked for it. */
function unaskedMoves(o: Observed, last: FailoverRecord | undefined): readonly string[] {
  const [before, moves] = [o.status?.lastFailover, o.status?.unaskedMoves ?? []];
  const ended = last?.durationMs !== undefined && (before?.at !== last.at || before.durationMs === undefined);
  if (!ended || last.to === undefined || last.to === last.from || last.cause === askedFor) return moves;
  return [last.at, ...moves].slice(0, movesKept);
}

/** When a new failover is opened, the last one becomes an earlier one. */
function earlierFailovers(o: Observed, last: FailoverRecord | undefined): readonly FailoverRecord[] {
  const before = o.status?.lastFailover;
  const earlier = o.status?.earlierFailovers ?? [];
  return before && before.at !== last?.at ? [before, ...earlier].slice(0, mostEarlier) : earlier;
}

function nextServer(o: Observed): VolumeStatus['server'] {
  if (o.server) return { node: o.server.node, address: o.server.address, epoch: o.server.epoch };
  // Kept while it is missed, so that a new leader too sees that the volume was served; dropped once it was stopped.
  return o.mounts.length > 0 || o.service ? o.status?.server : undefined;
}

/** From so many attempts on a failure is an error, not a hiccup: who created the volume is told so. */
const hiccups = { passing: 8, lasting: 3 } as const;

/** A step that failed before says so: what is tried again and why it failed. */
function failedAs(o: Observed, plan: Plan): { state: VolumeStatus['state']; reason: string } | undefined {
  const { failed } = o.memory;
  if (!failed || plan.kind !== 'step' || failed.step !== plan.step.do) return undefined;
  const most = failed.passing ? hiccups.passing : hiccups.lasting;
  const error = failed.attempts >= most && (plan.state === 'Creating' || plan.state === 'Mounting');
  return {
    state: error ? 'Error' : plan.state,
    reason: `${plan.reason} failed (attempt ${failed.attempts}), trying again: ${failed.message}`,
  };
}

/** The status that a volume has while a plan is carried out. Pure. */
export function nextStatus(o: Observed, plan: Plan, now: Moment): VolumeStatus {
  const { state, reason } = failedAs(o, plan) ?? plan;
  const server = nextServer(o);
  const standby = standbyOf(o);
  const lastFailover = nextFailover(o, plan, now);
  const earlier = earlierFailovers(o, lastFailover);
  const moves = unaskedMoves(o, lastFailover);
  return {
    v: 1,
    state,
    reason,
    since: o.status?.state === state ? o.status.since : new Date(now.wall).toISOString(),
    ...(plan.kind === 'wait'
      ? { deadline: new Date(now.wall + plan.deadline - now.monotonic).toISOString() }
      : {}),
    ...(o.status?.baseAsked === undefined ? {} : { baseAsked: o.status.baseAsked }),
    baseReady: o.status?.baseReady ?? false,
    ...(o.status?.baseDeferred === undefined ? {} : { baseDeferred: o.status.baseDeferred }),
    ...(server ? { server } : {}),
    ...(standby ? { standby } : {}),
    ...(o.service ? { serviceName: serviceNameOf(o.name) } : {}),
    ...(lastFailover ? { lastFailover } : {}),
    ...(earlier.length > 0 ? { earlierFailovers: [...earlier] } : {}),
    ...(moves.length > 0 ? { unaskedMoves: [...moves] } : {}),
  };
}

/** Whether a status says the same as another; writing it again would only wake those who follow it. */
export function sameStatus(a: VolumeStatus, b: VolumeStatus): boolean {
  const { deadline: aDeadline, ...aRest } = a;
  const { deadline: bDeadline, ...bRest } = b;
  const far =
    aDeadline === undefined || bDeadline === undefined
      ? aDeadline !== bDeadline
      : Math.abs(Date.parse(aDeadline) - Date.parse(bDeadline)) > deadlineToleranceMs;
  return !far && isDeepStrictEqual(aRest, bRest);
}
