import { VolumeError } from '../../../src/lib/errors.ts';
import { createVolume, inspect, reachState, removeVolume, serverHost, whole } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
import { longestStall } from './check-run.ts';
import { nothingLeftBehind } from './left-behind.ts';
import { type Narrator, seconds } from './narrator.ts';
import { WriterService } from './writer-service.ts';

const volume = 'shared';
const service = 'writers';
const quick = 60_000;
/** A host that was killed must boot, join and have its plugins enabled before its writer comes back. */
const slow = 180_000;

/** The story of the demo: a shared volume, its users on three hosts, and the loss of the host that serves it. */
export async function tellStory(lab: Lab, tell: Narrator): Promise<void> {
  const hosts = lab.hostNames;
  const writers = new WriterService({ lab, name: service, volume, hosts, pauseMs: 100 });
  await introduce(lab, tell);
  await createAndWrite(lab, tell, writers);
  await losePower(lab, tell, writers);
  await compare(lab, tell, writers);
  await goAway(lab, tell, writers);
}

async function introduce(lab: Lab, tell: Narrator): Promise<void> {
  tell.act('Three hosts, each with its own kernel and Docker engine, form one Swarm');
  const { hosts } = await lab.status();
  const kernels = await Promise.all(hosts.map(({ name }) => lab.shOk(name, 'uname -r')));
  hosts.forEach((host, at) => {
    tell.say(
      `${host.name}  ${host.address}  ${host.swarm}  Linux ${kernels[at]}  ${host.plugins.join(', ')}`,
    );
  });
}

async function createAndWrite(lab: Lab, tell: Narrator, writers: WriterService): Promise<void> {
  const hosts = lab.hostNames;
  tell.act('A volume for all of them');
  tell.command('node1', `docker volume create -d vfile -o size=200mb ${volume}`);
  const created = await tell.timed('created on node1', () =>
    createVolume(lab, 'node1', volume, { size: '200mb' }),
  );
  tell.figure('create a volume', created.ms);
  const seen = await Promise.all(hosts.map((host) => inspect(lab, host, volume)));
  tell.say(`known on ${hosts.join(', ')}; scope ${seen[0]?.Scope}; ${seen[0]?.Status?.['Volume Status']}`);

  tell.act('A service of three replicas shares it: each appends, takes turns under a lock, reads the others');
  tell.command('node1', `docker ${writers.command.join(' ')}`);
  const started = await tell.timed('a writer works on each host', async () => {
    await writers.create('node1');
    await writers.clients.progress(hosts, 3, slow);
  });
  tell.figure('service of 3 replicas, cold volume, until all write', started.ms);
  await writers.clients.progress(hosts, 20, quick);
  for (const host of hosts) {
    const { seen: others, acks, turns } = await writers.clients.diary(host);
    const names = [...new Set(others.map(({ of }) => of))].sort();
    tell.say(
      `${host}: ${acks.length} records acknowledged, ${turns.length} turns, reads ${names.join(' and ')}`,
    );
    if (names.length !== hosts.length - 1)
      throw new VolumeError('internal', `${host} does not see all others`);
  }
  const status = (await inspect(lab, 'node1', volume)).Status ?? {};
  for (const [key, value] of Object.entries(status)) tell.say(`  ${key}: ${JSON.stringify(value)}`);
}

async function losePower(lab: Lab, tell: Narrator, writers: WriterService): Promise<void> {
  const { clients } = writers;
  const server = await serverHost(lab, 'node1', volume);
  const survivors = lab.hostNames.filter((host) => host !== server);
  const [asker = 'node1'] = survivors;
  tell.act(`The power of ${server}, which serves the volume, is cut`);
  const cutAt = Date.now();
  await lab.kill(server);
  // Until then the server may still have answered.
  const offAt = Date.now();
  tell.say(`${server} is off`);
  const first = await Promise.all(survivors.map((host) => clients.firstAckAfter(host, offAt, slow)));
  const toFirst = Math.min(...first) - cutAt;
  const toAll = Math.max(...first) - cutAt;
  tell.say(`a survivor writes again ${seconds(toFirst)} after the cut, both do after ${seconds(toAll)}`);
  tell.figure('power cut to first acknowledged write on a survivor', toFirst, 15_000);
  tell.figure('power cut to first acknowledged write on every survivor', toAll);
  await clients.progress(survivors, 20, slow);
  for (const host of survivors) {
    const stall = longestStall(await clients.diary(host), cutAt) ?? Number.POSITIVE_INFINITY;
    tell.say(`${host}: longest time without an acknowledged write ${seconds(stall)}`);
    tell.figure(`longest stall on ${host}`, stall);
  }
  tell.say(`the volume is served by ${await serverHost(lab, asker, volume)} now`);

  tell.act(`${server} comes back`);
  const back = await tell.timed('it has joined the Swarm again, plugins and services run', async () => {
    await lab.start(server);
    await whole(lab, slow);
  });
  tell.figure('power on to the whole Swarm being well', back.ms);
  await tell.timed(`the writer on ${server} works again`, () => clients.progress([server], 3, slow));
}

async function compare(lab: Lab, tell: Narrator, writers: WriterService): Promise<void> {
  const hosts = lab.hostNames;
  tell.act('What was acknowledged is compared with what is in the volume');
  await writers.clients.stop(hosts, quick);
  const problems = await writers.clients.check('node2', { powerCut: true });
  for (const problem of problems) tell.say(problem);
  const diaries = await Promise.all(hosts.map((host) => writers.clients.diary(host)));
  const failed = diaries.map(({ errors }) => errors.length);
  tell.count('records acknowledged', sum(diaries.map(({ acks }) => acks.length)));
  tell.count('turns under the lock', sum(diaries.map(({ turns }) => turns.length)));
  // A program whose lock was lost is told so at its next write. The kernel's own count of lost locks is of no use here: it
  // counts those that were being asked for or given back at that moment too.
  tell.count('calls that failed, as they do when a lock was lost', sum(failed), 0);
  tell.count('missing, torn or doubled records; locks held by two', problems.length - sum(failed), 0);
  if (problems.length > 0) throw new VolumeError('internal', 'something acknowledged was lost');
  tell.say(
    'every acknowledged record is there, whole and once; nobody was in another one’s lock, and no lock was lost',
  );
}

async function goAway(lab: Lab, tell: Narrator, writers: WriterService): Promise<void> {
  tell.act('Nobody uses it any more');
  tell.command('node1', `docker service scale ${service}=0`);
  const ready = await tell.timed('the volume is Ready again', async () => {
    await writers.scale('node1', 0);
    await reachState(lab, 'node1', volume, 'Ready');
  });
  tell.figure('scale to 0 to Ready', ready.ms);
  tell.command('node1', `docker service rm ${service}; docker volume rm ${volume}`);
  const removed = await tell.timed('removed', async () => {
    await writers.remove('node1');
    await removeVolume(lab, 'node1', volume);
  });
  tell.figure('remove service and volume', removed.ms);
  await nothingLeftBehind(lab, quick);
  tell.say('nothing is left: no volume, service, mount, attached disk or disk image on any host');
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
