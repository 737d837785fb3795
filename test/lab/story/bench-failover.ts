import { createVolume, removeVolume, serverHost, whole } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
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

/** ms from a power cut to the first acknowledged record: on the survivor that was first, and on the one that was last. */
export interface PowerCutSeries {
  readonly first: number[];
  readonly last: number[];
  readonly problems: string[];
}

/** Cuts the power of the server's host while all hosts write, and gives it back, again and again. */
export async function powerCuts(
  lab: Lab,
  runs: number,
  say: (text: string) => void,
): Promise<PowerCutSeries> {
  const series: PowerCutSeries = { first: [], last: [], problems: [] };
  for (let run = 1; run <= runs; run++) {
    const hosts = lab.hostNames;
    const clients = new Clients({ lab, volume, hosts, pauseMs: 20 });
    await createVolume(lab, 'node1', volume, { size: '200mb' });
    await clients.start();
    await clients.progress(hosts, 5, 120_000);
    const server = await serverHost(lab, 'node1', volume);
    const survivors = hosts.filter((host) => host !== server);
    const at = Date.now();
    await lab.kill(server);
    const acks = await Promise.all(survivors.map((host) => clients.firstAckAfter(host, at, 180_000)));
    const first = Math.min(...acks) - at;
    const last = Math.max(...acks) - at;
    await clients.progress(survivors, 5, 120_000);
    await clients.stop(survivors, 120_000);
    await lab.start(server);
    await whole(lab);
    const [reader = 'node1'] = survivors;
    series.problems.push(...(await clients.check(reader, { powerCut: true })));
    await clients.remove(hosts);
    await removeVolume(lab, reader, volume);
    series.first.push(first);
    series.last.push(last);
    const after = `${first.toFixed(0)} ms, all after ${last.toFixed(0)} ms`;
    say(`power cut ${run}/${runs}: ${server} off, a survivor writes after ${after}`);
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
