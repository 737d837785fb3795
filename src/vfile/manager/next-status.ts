import { isDeepStrictEqual } from 'node:util';
import { serviceNameOf } from '../names.ts';
import type { VolumeStatus } from '../types.ts';
import type { Observed, Plan } from './observed.ts';

/** Deadlines come from a clock of their own: so many ms apart they are the same. */
const deadlineToleranceMs = 2_000;

/** Both clocks at one moment, ms. */
export interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

type Failover = NonNullable<VolumeStatus['lastFailover']>;

function hostOf(o: Observed, nodeId: string): string {
  return o.nodes.find((node) => node.id === nodeId)?.host ?? nodeId;
}

/** The record of the last failover: opened when a server that served is missed, closed when one serves again. */
function nextFailover(o: Observed, plan: Plan, now: Moment): Failover | undefined {
  const last = o.status?.lastFailover;
  const open = last !== undefined && last.durationMs === undefined;
  const lost = o.mounts.length > 0 && !o.server ? o.status?.server : undefined;
  if (lost) {
    const missedMs = now.monotonic - (o.memory.unservedSince ?? now.monotonic);
    const record: Failover = open
      ? last
      : {
          at: new Date(now.wall - missedMs).toISOString(),
          cause: plan.reason,
          from: hostOf(o, lost.node),
        };
    const decided = plan.kind === 'step' && plan.step.do === 'replaceTask';
    return decided ? { ...record, cause: plan.reason } : record;
  }
  if (!open) return last;
  const durationMs = Math.max(0, now.wall - Date.parse(last.at));
  if (o.server) return { ...last, to: o.server.host, durationMs };
  return o.mounts.length === 0 ? { ...last, durationMs } : last;
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
  const lastFailover = nextFailover(o, plan, now);
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
    ...(server ? { server } : {}),
    ...(o.service ? { serviceName: serviceNameOf(o.name) } : {}),
    ...(lastFailover ? { lastFailover } : {}),
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
