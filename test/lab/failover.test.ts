import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failoverRecordSchema } from '../../src/vfile/types.ts';
import {
  createVolume,
  inspect,
  inVolume,
  openLab,
  reachState,
  removeVolume,
  serverHost,
  whole,
} from './fixture.ts';
import { longestStall } from './story/check-run.ts';
import { Clients } from './story/clients.ts';
import type { Lab } from './tool/lab.ts';
import { waitFor } from './tool/wait.ts';

const lab = openLab();
const hosts = ['node1', 'node2', 'node3'] as const;
const volume = 'failing';

/** Whether a lock that `holdLock` took is still held: `flock -n` on another host is refused. */
async function isHeld(asker: string, holder: string): Promise<boolean> {
  const { exitCode, stderr } = await lab.docker(asker, [
    'exec',
    `client-${asker}`,
    'flock',
    '-n',
    '-E',
    '17',
    `/volume/held-${holder}`,
    'true',
  ]);
  if (exitCode !== 0 && exitCode !== 17) throw new Error(stderr);
  return exitCode === 17;
}

async function holdLock(host: string): Promise<void> {
  await lab.dockerOk(host, [
    'exec',
    '--detach',
    `client-${host}`,
    'flock',
    `/volume/held-${host}`,
    'sleep',
    'infinity',
  ]);
}

async function stalls(clients: Clients, survivors: readonly string[], since: number): Promise<number[]> {
  return await Promise.all(
    survivors.map(async (host) => longestStall(await clients.diary(host), since) ?? Number.POSITIVE_INFINITY),
  );
}

async function killProcess(on: Lab, host: string, pattern: string): Promise<void> {
  await on.shOk(host, `pkill -KILL --oldest -f '${pattern}'`);
}

const clients = new Clients({ lab, volume, hosts, pauseMs: 300 });

async function startClients(): Promise<void> {
  await whole(lab);
  await createVolume(lab, 'node1', volume, { size: '200mb', linger: '5s' });
  await clients.start();
  await clients.progress(hosts, 5, 120_000);
  for (const host of hosts) await holdLock(host);
  await waitFor(
    async () => {
      const free = [];
      for (const [at, host] of hosts.entries())
        if (!(await isHeld(hosts[(at + 1) % 3] ?? 'node1', host))) free.push(host);
      return free.length === 0
        ? { done: true, value: undefined }
        : { done: false, reason: `${free.join()} not yet` };
    },
    { what: 'a held lock on each host', timeoutMs: 30_000 },
  );
}

async function endClients(): Promise<void> {
  for (const host of hosts) await lab.start(host);
  await whole(lab);
  await clients.remove(hosts);
  await removeVolume(lab, 'node1', volume);
}

describe('clients on three hosts write with fsync and hold locks, and the power of the server’s host is cut', () => {
  let server: string;
  let survivors: string[];
  beforeAll(startClients);
  afterAll(endClients);

  it('the others go on, their locks are still theirs', async () => {
    server = await serverHost(lab, 'node1', volume);
    survivors = hosts.filter((host) => host !== server);
    const cutAt = Date.now();
    await lab.kill(server);
    await clients.progress(survivors, 10, 90_000);
    for (const stall of await stalls(clients, survivors, cutAt)) expect(stall).toBeLessThan(60_000);
    const [one = '', other = ''] = survivors;
    expect(await isHeld(one, other)).toBe(true);
    expect(await isHeld(other, one)).toBe(true);
    expect(await isHeld(one, server)).toBe(false);
  });

  it('the record of the failover says what became of the clients', async () => {
    const record = await waitFor(
      async () => {
        const last = (await inspect(lab, survivors[0] ?? '', volume)).Status?.['Last failover'];
        const { stallMs, reclaimed } = failoverRecordSchema.parse(last);
        return stallMs !== undefined && reclaimed !== undefined
          ? { done: true, value: failoverRecordSchema.parse(last) }
          : { done: false, reason: JSON.stringify(last) };
      },
      { what: 'the record of the failover', timeoutMs: 30_000 },
    );
    expect(record).toMatchObject({ from: server, to: expect.toBeOneOf(survivors), awaited: 2, reclaimed: 2 });
    const { durationMs = Number.NaN, graceEndedMs = Number.NaN, stallMs = Number.NaN } = record;
    expect(graceEndedMs).toBeGreaterThanOrEqual(durationMs);
    // The lease of the server had to run out first.
    expect(stallMs).toBeGreaterThan(durationMs);
  });

  it('the host comes back, rejoins and uses the volume again; nothing acknowledged is lost', async () => {
    await lab.start(server);
    await whole(lab);
    const files = await inVolume(lab, server, volume, 'ls /volume');
    for (const host of survivors) expect(files).toContain(`log.${host}`);
    await clients.stop(survivors);
    expect(await clients.check(server, { powerCut: true })).toEqual([]);
  });
});

describe('clients on three hosts write with fsync and hold locks, and processes are killed', () => {
  beforeAll(startClients);
  afterAll(endClients);

  it('ganesha alone: it is back in place, no lock is lost', async () => {
    const server = await serverHost(lab, 'node1', volume);
    const killedAt = Date.now();
    await killProcess(lab, server, '[g]anesha.nfsd');
    await clients.progress(hosts, 10, 60_000);
    for (const stall of await stalls(clients, hosts, killedAt)) expect(stall).toBeLessThan(30_000);
    expect(await serverHost(lab, 'node1', volume)).toBe(server);
    expect(await isHeld('node1', 'node2')).toBe(true);
    expect(await isHeld('node2', 'node3')).toBe(true);
    expect(await isHeld('node3', 'node1')).toBe(true);
  });

  it('the vDVS plugin’s worker on the server’s host: the disk stays attached', async () => {
    const server = await serverHost(lab, 'node1', volume);
    await killProcess(lab, server, '[v]dvs-plugin-main.mjs');
    await clients.progress(hosts, 10, 60_000);
    expect(await serverHost(lab, 'node1', volume)).toBe(server);
  });

  it('the vFile plugin: nobody notices, counts stay right, nothing acknowledged is lost', async () => {
    await killProcess(lab, 'node2', '[v]file-plugin.mjs');
    await clients.progress(hosts, 10, 60_000);
    await whole(lab);
    expect((await reachState(lab, 'node1', volume, 'Mounted'))['Global Refcount']).toBe(3);
    await clients.stop(hosts);
    expect(await clients.check('node2')).toEqual([]);
    await clients.remove(hosts);
    expect((await reachState(lab, 'node1', volume, 'Ready'))['Global Refcount']).toBe(0);
  });
});
