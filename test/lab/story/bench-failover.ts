import { setTimeout as sleep } from 'node:timers/promises';
import { createVolume, removeVolume, serverHost, whole } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
import { Appender } from './appender.ts';
import { longestCall, type RunConditions } from './check-run.ts';
import { Clients } from './clients.ts';

/** ms of each run, and what was wrong with what the clients wrote. */
export interface FailoverSeries {
  /** Without an acknowledged write of a file that was open, on the host where it was longest. */
  readonly times: number[];
  /** The longest call of clients that open their files anew and take turns under locks, waits for others' turns left out. */
  readonly opened: number[];
  readonly problems: string[];
}

const volume = 'bench-failover';

/** Those who use the volume: on each host one that takes turns under locks, and one that appends to an open file. */
interface Load {
  readonly clients: Clients;
  readonly appenders: readonly Appender[];
}

/** Makes the volume and starts all who use it. */
async function startLoad(lab: Lab): Promise<Load> {
  const hosts = lab.hostNames;
  const clients = new Clients({ lab, volume, hosts, pauseMs: 20 });
  const appenders = hosts.map((host) => new Appender(lab, host, `append-${host}`));
  await createVolume(lab, 'node1', volume, { size: '200mb' });
  await clients.start();
  await Promise.all(appenders.map((appender) => appender.start(volume, 'vfile')));
  await clients.progress(hosts, 5, 120_000);
  await Promise.all(appenders.map((appender) => appender.progress(5)));
  return { clients, appenders };
}

/** Compares what is there with what was acknowledged, and removes everything. @returns what is wrong. */
async function endLoad(
  lab: Lab,
  { clients, appenders }: Load,
  reader: string,
  conditions: RunConditions = {},
): Promise<string[]> {
  for (const appender of appenders) await appender.remove();
  const problems = await clients.check(reader, conditions);
  for (const appender of appenders) problems.push(...(await appender.check(reader, volume, 'vfile')));
  await clients.remove(lab.hostNames);
  await removeVolume(lab, reader, volume);
  return problems;
}

/** ms from a power cut, in each run. */
export interface PowerCutSeries {
  /** To the first acknowledged write of a file that was open: on the survivor that was first, and on the one that was last. */
  readonly first: number[];
  readonly last: number[];
  /** To the first acknowledged record of a client that opens its file anew and takes turns under locks: on the first one. */
  readonly opened: number[];
  readonly problems: string[];
}

/** Cuts the power of the server's host while all hosts write, and gives it back, again and again. */
export async function powerCuts(
  lab: Lab,
  runs: number,
  say: (text: string) => void,
): Promise<PowerCutSeries> {
  const series: PowerCutSeries = { first: [], last: [], opened: [], problems: [] };
  for (let run = 1; run <= runs; run++) {
    const hosts = lab.hostNames;
    const load = await startLoad(lab);
    const { clients, appenders } = load;
    const server = await serverHost(lab, 'node1', volume);
    const survivors = hosts.filter((host) => host !== server);
    const spared = appenders.filter(({ host }) => host !== server);
    const at = Date.now();
    await lab.kill(server);
    // Until the power is off, some ms, writes may be acknowledged; nobody takes over within 1 s.
    const [acks, opened] = await Promise.all([
      Promise.all(spared.map((appender) => appender.firstAckAfter(at + 1_000, 180_000))),
      Promise.all(survivors.map((host) => clients.firstAckAfter(host, at, 180_000))),
    ]);
    const times = {
      first: Math.min(...acks) - at,
      last: Math.max(...acks) - at,
      opened: Math.min(...opened) - at,
    };
    await clients.progress(survivors, 5, 120_000);
    await clients.stop(survivors, 120_000);
    await lab.start(server);
    await whole(lab);
    const [reader = 'node1'] = survivors;
    series.problems.push(...(await endLoad(lab, load, reader, { powerCut: true })));
    for (const key of ['first', 'last', 'opened'] as const) series[key].push(times[key]);
    const [first, last, anew] = [times.first, times.last, times.opened].map((ms) => ms.toFixed(0));
    say(
      `power cut ${run}/${runs}: ${server} off, a survivor writes after ${first} ms, all after ${last} ms, opens anew after ${anew} ms`,
    );
  }
  return series;
}

/** ms between two kills: a server that dies five times within a minute is given up, which is another event. */
const betweenKillsMs = 16_000;

/** ganesha alone is killed: the longest time that anybody goes without an acknowledged write. */
export async function processKills(
  lab: Lab,
  runs: number,
  say: (text: string) => void,
): Promise<FailoverSeries> {
  const series: FailoverSeries = { times: [], opened: [], problems: [] };
  const hosts = lab.hostNames;
  const load = await startLoad(lab);
  const { clients, appenders } = load;
  for (let run = 1; run <= runs; run++) {
    if (run > 1) await sleep(betweenKillsMs);
    const server = await serverHost(lab, 'node1', volume);
    const at = Date.now();
    await lab.shOk(server, "pkill -KILL -f '[g]anesha.nfsd'");
    await clients.progress(hosts, 8, 120_000);
    const gaps = await Promise.all(appenders.map((appender) => appender.longestGap(at)));
    const stalls = await Promise.all(hosts.map(async (host) => longestCall(await clients.diary(host), at)));
    const ms = Math.max(...gaps);
    const anew = Math.max(...stalls.map((stall) => stall ?? Number.POSITIVE_INFINITY));
    series.times.push(ms);
    series.opened.push(anew);
    say(
      `ganesha killed ${run}/${runs} on ${server}: nobody writes for ${ms.toFixed(0)} ms, opens anew or takes a free lock for ${anew.toFixed(0)} ms`,
    );
  }
  await clients.stop(hosts);
  series.problems.push(...(await endLoad(lab, load, 'node1')));
  return series;
}
