import { createVolume, removeVolume, serverHost, whole } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
import { Appender } from './appender.ts';
import { longestStall } from './check-run.ts';
import { Clients } from './clients.ts';

/** ms of each run, and what was wrong with what the clients wrote. */
export interface FailoverSeries {
  readonly times: number[];
  readonly problems: string[];
}

const volume = 'bench-failover';

/** Three clients write with fsync and take turns under a lock while `work` does harm. */
async function underLoad(lab: Lab, work: (clients: Clients) => Promise<void>): Promise<string[]> {
  const hosts = lab.hostNames;
  const clients = new Clients({ lab, volume, hosts, pauseMs: 20 });
  await createVolume(lab, 'node1', volume, { size: '200mb' });
  try {
    await clients.start();
    await clients.progress(hosts, 5, 120_000);
    await work(clients);
    await clients.stop(hosts);
    return await clients.check('node1');
  } finally {
    await clients.remove(hosts);
    await removeVolume(lab, 'node1', volume);
  }
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
    const clients = new Clients({ lab, volume, hosts, pauseMs: 20 });
    const appenders = hosts.map((host) => new Appender(lab, host, `append-${host}`));
    await createVolume(lab, 'node1', volume, { size: '200mb' });
    await clients.start();
    await Promise.all(appenders.map((appender) => appender.start(volume, 'vfile')));
    await clients.progress(hosts, 5, 120_000);
    await Promise.all(appenders.map((appender) => appender.progress(5)));
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
    for (const appender of appenders) await appender.remove();
    const [reader = 'node1'] = survivors;
    series.problems.push(...(await clients.check(reader, { powerCut: true })));
    for (const appender of appenders) {
      series.problems.push(...(await appender.check(reader, volume, 'vfile')));
    }
    await clients.remove(hosts);
    await removeVolume(lab, reader, volume);
    for (const key of ['first', 'last', 'opened'] as const) series[key].push(times[key]);
    const [first, last, anew] = [times.first, times.last, times.opened].map((ms) => ms.toFixed(0));
    say(
      `power cut ${run}/${runs}: ${server} off, a survivor writes after ${first} ms, all after ${last} ms, opens anew after ${anew} ms`,
    );
  }
  return series;
}

/** ganesha alone is killed: the longest time that a client goes without an acknowledged record. */
export async function processKills(
  lab: Lab,
  runs: number,
  say: (text: string) => void,
): Promise<FailoverSeries> {
  const series: FailoverSeries = { times: [], problems: [] };
  const problems = await underLoad(lab, async (clients) => {
    const hosts = lab.hostNames;
    for (let run = 1; run <= runs; run++) {
      const server = await serverHost(lab, 'node1', volume);
      const at = Date.now();
      await lab.shOk(server, "pkill -KILL -f '[g]anesha.nfsd'");
      await clients.progress(hosts, 8, 120_000);
      const stalls = await Promise.all(
        hosts.map(async (host) => longestStall(await clients.diary(host), at)),
      );
      const ms = Math.max(...stalls.map((stall) => stall ?? Number.POSITIVE_INFINITY));
      series.times.push(ms);
      say(`ganesha killed ${run}/${runs} on ${server}: longest stall ${ms.toFixed(0)} ms`);
    }
  });
  series.problems.push(...problems);
  return series;
}
