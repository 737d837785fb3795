import Table from 'cli-table3';
import type { EventKind } from './chaos-plan.ts';
import { seconds } from './narrator.ts';
import { summarise } from './statistics.ts';

/** What came of one round. */
export interface RoundResult {
  readonly number: number;
  readonly kind: EventKind;
  /** The host that it struck. */
  readonly host: string;
  readonly onServer: boolean;
  readonly second?: EventKind;
  /** ms since 1970 at which it struck. */
  readonly at: number;
  /** Longest time in ms that one thing took a client on a host that was not struck, waits for a lock's holder left out. */
  readonly stallMs: number;
  /** Longest time in ms that such a client went without an acknowledged record, for whatever reason. */
  readonly gapMs: number;
  /** From the heal until all was well and all clients worked again, ms. */
  readonly recoveryMs: number;
}

/** Everything a run came to. */
export interface ChaosResult {
  readonly seed: number;
  readonly rounds: readonly RoundResult[];
  readonly records: number;
  readonly turns: number;
  readonly findings: readonly string[];
}

/** Stalls and recoveries of one kind of event. */
export interface EventFigures {
  readonly event: string;
  readonly count: number;
  readonly medianStallMs: number;
  readonly worstStallMs: number;
  readonly worstGapMs: number;
  readonly medianRecoveryMs: number;
  readonly worstRecoveryMs: number;
}

function nameOf({ kind, onServer, second }: RoundResult): string {
  const where = onServer ? ' of the server’s host' : '';
  return second ? `${kind}${where}, then a second failure` : `${kind}${where}`;
}

/** The distribution of stalls by event, the events in the order of their first round. */
export function figuresByEvent(rounds: readonly RoundResult[]): EventFigures[] {
  const groups = new Map<string, RoundResult[]>();
  for (const round of rounds) {
    const name = nameOf(round);
    groups.set(name, [...(groups.get(name) ?? []), round]);
  }
  return [...groups].map(([event, group]) => {
    const stalls = summarise(group.map(({ stallMs }) => stallMs));
    const recoveries = summarise(group.map(({ recoveryMs }) => recoveryMs));
    return {
      event,
      count: group.length,
      medianStallMs: stalls.median,
      worstStallMs: stalls.most,
      worstGapMs: Math.max(...group.map(({ gapMs }) => gapMs)),
      medianRecoveryMs: recoveries.median,
      worstRecoveryMs: recoveries.most,
    };
  });
}

/** The closing words of a run, as text for a terminal. */
export function renderResult(result: ChaosResult): string {
  const table = new Table({
    head: ['event', 'count', 'median stall', 'worst', 'with locks', 'median recovery', 'worst'],
    style: { head: [], border: [] },
  });
  for (const one of figuresByEvent(result.rounds)) {
    const { event, count, medianStallMs, worstStallMs, worstGapMs } = one;
    const stalls = [medianStallMs, worstStallMs, worstGapMs];
    const times = [...stalls, one.medianRecoveryMs, one.worstRecoveryMs].map(seconds);
    table.push([event, count, ...times]);
  }
  const { seed, rounds, records, turns, findings } = result;
  const lines = [
    table.toString(),
    `seed ${seed}: ${rounds.length} rounds, ${records} records acknowledged, ${turns} turns under locks`,
    ...findings.map((finding) => `FINDING ${finding}`),
    findings.length === 0 ? 'nothing is wrong' : `${findings.length} findings`,
  ];
  return lines.join('\n');
}
