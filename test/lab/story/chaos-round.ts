import { setTimeout as sleep } from 'node:timers/promises';
import { reachState, serverHost, whole } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
import { events } from './chaos-events.ts';
import { describeRound, type EventKind, isOutage, type Round } from './chaos-plan.ts';
import type { RoundResult } from './chaos-report.ts';
import { longestCall, longestStall } from './check-run.ts';
import type { Clients } from './clients.ts';
import type { LostContacts } from './lost-contacts.ts';
import { seconds } from './narrator.ts';

/** What a round is played on. */
export interface Stage {
  readonly lab: Lab;
  readonly volume: string;
  readonly clients: Clients;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
  readonly contacts: LostContacts;
}

/** So long all parts may take to be well again after the last heal, ms. */
const recoveryMs = 240_000;
/** So long a client may take to work again once all parts are well, ms. */
const workAgainMs = 120_000;

/** Hosts whose clients an event on `host` should cost no more than a failover: all, or all but the one that is away itself. */
export function watchedHosts(lab: Pick<Lab, 'hostNames'>, kind: EventKind, host: string): string[] {
  return lab.hostNames.filter((name) => name !== host || !isOutage(kind) || kind === 'drain');
}

/**
 * Events after which calls of the struck host's own clients may fail: they cannot follow a failover meanwhile and lose their locks.
 * Without its engine a host has no plugin either; its containers, which the engine ends when it comes back, run on until then.
 */
const losesContact: readonly EventKind[] = ['cut', 'freeze', 'dockerd'];

/** Whether an event ends the client on its host. */
function endsClient(kind: EventKind): boolean {
  return kind === 'power' || kind === 'dockerd';
}

/** Waits until all hosts, plugins and services are well, the volume is served and every client works. */
async function recovered(stage: Stage, ended: string | undefined): Promise<string[]> {
  const { lab, volume, clients, say } = stage;
  const findings: string[] = [];
  await whole(lab, recoveryMs);
  for (const host of lab.hostNames) {
    const lastWords = await clients.revive(host, workAgainMs);
    if (lastWords === undefined) continue;
    if (host === ended) say(`the client on ${host} was started again`);
    else findings.push(`the client on ${host} had ended: ${lastWords}`);
  }
  for (const host of lab.hostNames) await reachState(lab, host, volume, 'Mounted', workAgainMs);
  await clients.progress(lab.hostNames, 3, workAgainMs);
  return findings;
}

async function strikeSecond(stage: Stage, round: Round, spared: string): Promise<void> {
  const { second } = round;
  if (!second) return;
  await sleep(second.afterMs, undefined, { signal: stage.signal });
  const others = stage.lab.hostNames.filter((host) => host !== spared);
  // Where there is nothing to kill yet, nothing is killed.
  const struck = await Promise.allSettled(
    others.map(async (host) => ((await events[second.kind].strike(stage, host)) ? [host] : [])),
  );
  const hosts = struck.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
  stage.say(hosts.length > 0 ? `${second.kind} on ${hosts.join(' and ')}` : `no ${second.kind} to be killed`);
}

/**
 * Plays one round: peace, a last look whether all is well (a majority of the managers must outlive it), the event, the second
 * one, the heal, and the wait until all is well again.
 * @returns what it came to, or `undefined` when there was nothing to strike; and what was wrong.
 * @throws VolumeError `timeout` saying what did not come right in time.
 */
export async function playRound(
  stage: Stage,
  round: Round,
): Promise<{ result: RoundResult | undefined; findings: string[] }> {
  const { lab, volume, clients, say, signal } = stage;
  const { kind, target, holdMs, number } = round;
  await sleep(round.calmMs, undefined, { signal });
  await whole(lab, recoveryMs, { lookAgain: isOutage(kind) });
  const [asker = 'node1'] = lab.hostNames;
  const server = await serverHost(lab, asker, volume);
  const host = 'host' in target ? target.host : server;
  say(`round ${number}: ${describeRound(round)} (${host}; ${server} serves)`);
  const event = events[kind];
  const regained = losesContact.includes(kind) ? stage.contacts.lost(host) : undefined;
  const at = Date.now();
  const struck = await event.strike(stage, host);
  if (!struck) {
    say('there was nothing to strike');
    return { result: undefined, findings: [] };
  }
  await strikeSecond(stage, round, host);
  await sleep(Math.max(0, at + holdMs - Date.now()), undefined, { signal });
  const healedAt = Date.now();
  await event.heal?.(stage, host);
  const findings = await recovered(stage, endsClient(kind) ? host : undefined);
  regained?.();
  const recoveredMs = Date.now() - healedAt;
  const watched = watchedHosts(lab, kind, host);
  const diaries = await Promise.all(watched.map((name) => clients.diary(name)));
  const longest = (of: typeof longestCall): number =>
    Math.max(...diaries.map((diary) => of(diary, at) ?? Number.POSITIVE_INFINITY));
  const [stallMs, gapMs] = [longest(longestCall), longest(longestStall)];
  const gap = `${seconds(gapMs)} without a record, waits for locks included`;
  say(`longest stall ${seconds(stallMs)} (${gap}); all well ${seconds(recoveredMs)} after the heal`);
  const result = {
    number,
    kind,
    host,
    onServer: host === server,
    ...(round.second ? { second: round.second.kind } : {}),
    at,
    stallMs,
    gapMs,
    recoveryMs: recoveredMs,
  };
  return { result, findings };
}
