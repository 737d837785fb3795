import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createVolume, inVolume, openLab, reachState, removeVolume, serverHost, whole } from './fixture.ts';
import { longestStall } from './story/check-run.ts';
import { Clients } from './story/clients.ts';
import type { Lab } from './tool/lab.ts';

const lab = openLab();
const hosts = ['node1', 'node2', 'node3'] as const;
const volume = 'failing';

/** The host's own words about NFS state that it could not reclaim. */
async function lostLocks(host: string): Promise<string> {
  return (await lab.sh(host, 'dmesg | grep -i "lost .* lock"')).stdout;
}

async function stalls(clients: Clients, survivors: readonly string[], since: number): Promise<number[]> {
  return await Promise.all(
    survivors.map(async (host) => longestStall(await clients.diary(host), since) ?? Number.POSITIVE_INFINITY),
  );
}

async function killProcess(on: Lab, host: string, pattern: string): Promise<void> {
  await on.shOk(host, `pkill -KILL -f '${pattern}'`);
}

describe('clients on three hosts write with fsync and hold locks', () => {
  const clients = new Clients({ lab, volume, hosts, pauseMs: 20 });

  beforeEach(async () => {
    await whole(lab);
    await createVolume(lab, 'node1', volume, { size: '200mb' });
    await clients.start();
    await clients.progress(hosts, 5, 120_000);
  });

  afterEach(async () => {
    for (const host of hosts) await lab.start(host);
    await whole(lab);
    await clients.remove(hosts);
    await removeVolume(lab, 'node1', volume);
  });

  it('the power of the server’s host is cut: the others go on, nothing acknowledged is lost', async () => {
    const server = await serverHost(lab, 'node1', volume);
    const survivors = hosts.filter((host) => host !== server);
    const cutAt = Date.now();
    await lab.kill(server);
    await clients.progress(survivors, 10, 90_000);
    for (const stall of await stalls(clients, survivors, cutAt)) expect(stall).toBeLessThan(30_000);
    await clients.stop(survivors);
    expect(await clients.check(survivors[0] ?? '')).toEqual([]);
    for (const host of survivors) expect(await lostLocks(host)).toBe('');
  });

  it('the killed host comes back, rejoins and uses the volume again', async () => {
    const server = await serverHost(lab, 'node1', volume);
    const survivors = hosts.filter((host) => host !== server);
    await lab.kill(server);
    await clients.progress(survivors, 5, 90_000);
    await lab.start(server);
    await whole(lab);
    const files = await inVolume(lab, server, volume, 'ls /volume');
    for (const host of survivors) expect(files).toContain(`log.${host}`);
    await clients.stop(survivors);
    expect(await clients.check(server)).toEqual([]);
  });

  it('ganesha alone is killed: it is back in place, no lock is lost', async () => {
    const server = await serverHost(lab, 'node1', volume);
    const killedAt = Date.now();
    await killProcess(lab, server, 'ganesha.nfsd .*');
    await clients.progress(hosts, 10, 60_000);
    for (const stall of await stalls(clients, hosts, killedAt)) expect(stall).toBeLessThan(20_000);
    expect(await serverHost(lab, 'node1', volume)).toBe(server);
    await clients.stop(hosts);
    expect(await clients.check('node1')).toEqual([]);
    for (const host of hosts) expect(await lostLocks(host)).toBe('');
  });

  it('the vFile plugin is killed under running containers: they do not notice, counts stay right', async () => {
    await killProcess(lab, 'node2', 'vfile-plugin.mjs');
    await clients.progress(hosts, 10, 60_000);
    await whole(lab);
    expect((await reachState(lab, 'node1', volume, 'Mounted'))['Global Refcount']).toBe(3);
    await clients.stop(hosts);
    expect(await clients.check('node2')).toEqual([]);
    await clients.remove(hosts);
    expect((await reachState(lab, 'node1', volume, 'Ready'))['Global Refcount']).toBe(0);
  });

  it('the vDVS plugin’s worker is killed on the server’s host: the disk stays attached', async () => {
    const server = await serverHost(lab, 'node1', volume);
    await killProcess(lab, server, 'vdvs-plugin-main.mjs');
    await clients.progress(hosts, 10, 60_000);
    expect(await serverHost(lab, 'node1', volume)).toBe(server);
    await clients.stop(hosts);
    expect(await clients.check('node1')).toEqual([]);
  });
});
