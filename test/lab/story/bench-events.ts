import { createVolume, removeVolume } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';

import { healAll } from './chaos-events.ts';
import type { EventKind } from './chaos-plan.ts';
import { playRound } from './chaos-round.ts';
import { Clients } from './clients.ts';
import { LostContacts } from './lost-contacts.ts';

const volume = 'bench-events';
const calmMs = 3_000;

/** ms of each run, and what was wrong with what the clients wrote. */
export interface EventSeries {
  readonly times: number[];
  readonly problems: string[];
}

/**
 * One kind of event on the server's host, again and again: the longest stall of a client on another host (on all hosts,
 * when the event takes none away).
 * @param holdMs how long the host stays as the event left it.
 */
export async function eventStalls(
  lab: Lab,
  runs: number,
  { kind, holdMs }: { readonly kind: EventKind; readonly holdMs: number },
  say: (text: string) => void,
): Promise<EventSeries> {
  const hosts = lab.hostNames;
  const series: EventSeries = { times: [], problems: [] };
  const clients = new Clients({ lab, volume, hosts, pauseMs: 20 });
  const contacts = new LostContacts();
  const stage = { lab, volume, clients, contacts, say, signal: new AbortController().signal };
  await createVolume(lab, 'node1', volume, { size: '400mb' });
  try {
    await clients.start();
    await clients.progress(hosts, 5, 120_000);
    for (let number = 1; number <= runs; number++) {
      const round = { number, calmMs, kind, target: { role: 'server' }, holdMs } as const;
      const { result, findings } = await playRound(stage, round);
      if (result) series.times.push(result.stallMs);
      series.problems.push(...findings);
    }
    await clients.stop(hosts, 120_000);
    const mayFail = (name: string, at: number): boolean => contacts.mayFail(name, at);
    series.problems.push(...(await clients.check('node1', { powerCut: true, mayFail })));
  } finally {
    series.problems.push(...(await healAll(stage)));
    await clients.remove(hosts);
    await removeVolume(lab, 'node1', volume);
  }
  return series;
}
