import { toVolumeError } from '../../../src/lib/errors.ts';
import { createVolume, reachStandby, removeVolume, serverHost } from '../fixture.ts';
import { etcdLeader } from '../tool/etcd-leader.ts';
import type { Lab } from '../tool/lab.ts';
import { waitFor } from '../tool/wait.ts';
import { Appender } from './appender.ts';
import { healAll } from './chaos-events.ts';
import { type EventKind, isOutage } from './chaos-plan.ts';
import { playRound, watchedHosts } from './chaos-round.ts';
import { Clients } from './clients.ts';
import { LostContacts } from './lost-contacts.ts';

const volume = 'bench-events';
/** ms before each event. A server that dies five times within a minute is given up, which is another event. */
const calm = (kind: EventKind): number => (kind.startsWith('ganesha') ? 10_000 : 3_000);

/** For how long those that only write rest after each write, in ms: a stall is measured to that. */
const lineMs = 100;

/** ms of each run, and what was wrong with what the clients wrote. */
export interface EventSeries {
  /** Without an acknowledged write of a file that was open, on the host where it was longest. */
  readonly times: number[];
  /** The same on the host where it was shortest. */
  readonly first: number[];
  /** The longest call of a client that opens its files anew and takes turns under locks. */
  readonly opened: number[];
  /** The longest time without a new record of such a client, which waits for the others to give locks back. */
  readonly locked: number[];
  /** In how many runs etcd was led from the host that was struck: an election comes on top. */
  electionsToo: number;
  readonly problems: string[];
}

/**
 * Whether etcd is led from the server's host even after a while: the manager hands its leadership to another host when that has been
 * better for some seconds, but not right after it did so before.
 */
async function ledFrom(lab: Lab, host: string): Promise<boolean> {
  return await waitFor(
    async () => {
      const leader = await etcdLeader(lab);
      if (leader !== undefined && leader !== host) return { done: true, value: false };
      return { done: false, reason: `it is led from ${leader ?? 'nowhere'}` };
    },
    { what: `etcd to be led from elsewhere than ${host}`, timeoutMs: 90_000, everyMs: 3_000 },
  ).catch(() => true);
}

/** One on each host that appends to a file which it keeps open. */
class Appenders {
  readonly #lab: Lab;
  readonly #all = new Map<string, Appender>();
  #started = 0;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** Starts those that do not run: one whose host was away for long has ended, with its host or with an error, as it must. */
  async start(): Promise<string[]> {
    const problems = await Promise.all(
      this.#lab.hostNames.map(async (host) => {
        const before = this.#all.get(host);
        if (before && (await before.runs())) return [];
        const wrong = before ? await this.#end(before, host, { hostLost: true }) : [];
        this.#started += 1;
        const next = new Appender(this.#lab, host, `events-${this.#started}`, lineMs);
        this.#all.set(host, next);
        await next.start(volume, 'vfile');
        return wrong;
      }),
    );
    await Promise.all([...this.#all.values()].map((appender) => appender.progress(5)));
    return problems.flat();
  }

  /** The longest time without an acknowledged line since `at` on each of these hosts; all write again when it returns. */
  async longestGaps(at: number, hosts: readonly string[]): Promise<number[]> {
    const of = hosts.flatMap((host) => this.#all.get(host) ?? []);
    await Promise.all(of.map((appender) => appender.progress(1)));
    return await Promise.all(of.map((appender) => appender.longestGap(at)));
  }

  /** Removes all of them. @returns what is wrong with what they wrote. */
  async end(): Promise<string[]> {
    const all = [...this.#all];
    this.#all.clear();
    return (await Promise.all(all.map(([host, appender]) => this.#end(appender, host)))).flat();
  }

  async #end(appender: Appender, reader: string, how: { hostLost?: boolean } = {}): Promise<string[]> {
    await appender.remove();
    return await appender.check(reader, volume, 'vfile', how);
  }
}

/** What is to happen again and again, and to whom. */
export interface EventOf {
  readonly kind: EventKind;
  /** On the server's host, or on one that only has a client. */
  readonly on: 'server' | 'client';
  /** How long the host stays as the event left it. */
  readonly holdMs: number;
  /** ms for which a client rests between two rounds of all that it does. */
  readonly pauseMs: number;
}

/**
 * One kind of event, again and again: the longest stall of a client on another host (on all hosts, when the event takes none
 * away).
 */
export async function eventStalls(
  lab: Lab,
  runs: number,
  { kind, on, holdMs, pauseMs }: EventOf,
  say: (text: string) => void,
): Promise<EventSeries> {
  const hosts = lab.hostNames;
  const series: EventSeries = {
    times: [],
    first: [],
    opened: [],
    locked: [],
    electionsToo: 0,
    problems: [],
  };
  const clients = new Clients({ lab, volume, hosts, pauseMs });
  const appenders = new Appenders(lab);
  const contacts = new LostContacts();
  const stage = { lab, volume, clients, contacts, say, signal: new AbortController().signal };
  const cleanUp = async (): Promise<void> => {
    series.problems.push(...(await healAll(stage)));
    await appenders.end();
    await clients.remove(hosts);
    await removeVolume(lab, 'node1', volume);
  };
  await createVolume(lab, 'node1', volume, { size: '400mb' });
  try {
    await clients.start();
    await clients.progress(hosts, 5, 120_000);
    for (let number = 1; number <= runs; number++) {
      await reachStandby(lab, 'node1', volume);
      series.problems.push(...(await appenders.start()));
      const server = await serverHost(lab, 'node1', volume);
      if (isOutage(kind) && on === 'server' && (await ledFrom(lab, server))) series.electionsToo += 1;
      const host = hosts.find((name) => (name === server) === (on === 'server')) ?? server;
      const round = { number, calmMs: calm(kind), kind, target: { host }, holdMs } as const;
      const { result, findings } = await playRound(stage, round);
      series.problems.push(...findings);
      if (!result) continue;
      if (result.onServer !== (on === 'server')) {
        say('the server had moved meanwhile: not counted');
        continue;
      }
      const gaps = await appenders.longestGaps(result.at, watchedHosts(lab, kind, result.host));
      say(`open files were not written for ${gaps.map((ms) => ms.toFixed(0)).join(', ')} ms`);
      series.times.push(Math.max(...gaps));
      series.first.push(Math.min(...gaps));
      series.opened.push(result.stallMs);
      series.locked.push(result.gapMs);
    }
    await clients.stop(hosts, 120_000);
    const mayFail = (name: string, at: number): boolean => contacts.mayFail(name, at);
    // While the server's own kernel lives, it writes out all that a reader may have seen.
    series.problems.push(...(await clients.check('node1', { powerCut: isOutage(kind), mayFail })));
    series.problems.push(...(await appenders.end()));
  } catch (thrown) {
    // What went wrong first is what is told, whatever that does to the end.
    await cleanUp().catch((later: unknown) => say(`while cleaning up: ${toVolumeError(later).message}`));
    throw thrown;
  }
  await cleanUp();
  return series;
}
