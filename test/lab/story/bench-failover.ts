import { setTimeout as sleep } from 'node:timers/promises';
import { createVolume, removeVolume, serverHost } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
import { Appender } from './appender.ts';
import { longestCall } from './check-run.ts';
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
async function endLoad(lab: Lab, { clients, appenders }: Load, reader: string): Promise<string[]> {
  for (const appender of appenders) await appender.remove();
  const problems = await clients.check(reader);
  for (const appender of appenders) problems.push(...(await appender.check(reader, volume, 'vfile')));
  await clients.remove(lab.hostNames);
  await removeVolume(lab, reader, volume);
  return problems;
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
