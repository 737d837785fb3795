import { createVolume, removeVolume } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
import { Appender } from './appender.ts';
import { healAll } from './chaos-events.ts';
import type { EventKind } from './chaos-plan.ts';
import { playRound, watchedHosts } from './chaos-round.ts';
import { Clients } from './clients.ts';
import { LostContacts } from './lost-contacts.ts';

const volume = 'bench-events';
const calmMs = 3_000;

/** ms of each run, and what was wrong with what the clients wrote. */
export interface EventSeries {
  /** Without an acknowledged write of a file that was open, on the host where it was longest. */
  readonly times: number[];
  /** The longest call of a client that opens its files anew and takes turns under locks. */
  readonly opened: number[];
  readonly problems: string[];
}

/** One on each host that appends to a file which it keeps open. */
class Appenders {
  readonly #lab: Lab;
  readonly #all = new Map<string, Appender>();
  #started = 0;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** Starts those that do not run: one whose host was away for long has ended with an error, as it must. */
  async start(): Promise<string[]> {
    const problems = await Promise.all(
      this.#lab.hostNames.map(async (host) => {
        const before = this.#all.get(host);
        if (before && (await before.diary()).ended === undefined) return [];
        const wrong = before ? await this.#end(before, host) : [];
        this.#started += 1;
        const next = new Appender(this.#lab, host, `events-${this.#started}`);
        this.#all.set(host, next);
        await next.start(volume, 'vfile');
        return wrong;
      }),
    );
    await Promise.all([...this.#all.values()].map((appender) => appender.progress(5)));
    return problems.flat();
  }

  /** The longest time without an acknowledged line since `at` on any of these hosts; all write again when it returns. */
  async longestGap(at: number, hosts: readonly string[]): Promise<number> {
    const of = hosts.flatMap((host) => this.#all.get(host) ?? []);
    await Promise.all(of.map((appender) => appender.progress(1)));
    return Math.max(...(await Promise.all(of.map((appender) => appender.longestGap(at)))));
  }

  /** Removes all of them. @returns what is wrong with what they wrote. */
  async end(): Promise<string[]> {
    const all = [...this.#all];
    this.#all.clear();
    return (await Promise.all(all.map(([host, appender]) => this.#end(appender, host)))).flat();
  }

  async #end(appender: Appender, reader: string): Promise<string[]> {
    await appender.remove();
    return await appender.check(reader, volume, 'vfile');
  }
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
  const series: EventSeries = { times: [], opened: [], problems: [] };
  const clients = new Clients({ lab, volume, hosts, pauseMs: 20 });
  const appenders = new Appenders(lab);
  const contacts = new LostContacts();
  const stage = { lab, volume, clients, contacts, say, signal: new AbortController().signal };
  await createVolume(lab, 'node1', volume, { size: '400mb' });
  try {
    await clients.start();
    await clients.progress(hosts, 5, 120_000);
    for (let number = 1; number <= runs; number++) {
      series.problems.push(...(await appenders.start()));
      const round = { number, calmMs, kind, target: { role: 'server' }, holdMs } as const;
      const { result, findings } = await playRound(stage, round);
      series.problems.push(...findings);
      if (!result) continue;
      const ms = await appenders.longestGap(result.at, watchedHosts(lab, kind, result.host));
      say(`an open file was not written for ${ms.toFixed(0)} ms`);
      series.times.push(ms);
      series.opened.push(result.stallMs);
    }
    await clients.stop(hosts, 120_000);
    const mayFail = (name: string, at: number): boolean => contacts.mayFail(name, at);
    series.problems.push(...(await clients.check('node1', { powerCut: true, mayFail })));
    series.problems.push(...(await appenders.end()));
  } finally {
    series.problems.push(...(await healAll(stage)));
    await appenders.end();
    await clients.remove(hosts);
    await removeVolume(lab, 'node1', volume);
  }
  return series;
}
