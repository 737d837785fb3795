import { readdir, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Change, Store } from '../../../src/etcd/store.ts';
import { run } from '../../../src/lib/exec.ts';
import { nfsNull } from '../../../src/lib/nfs-null.ts';
import { vfileKeys } from '../../../src/vfile/keys.ts';
import { type ServerRecord, serverClaimSchema } from '../../../src/vfile/types.ts';
import { ganeshaTree } from './ganesha-tree.ts';
import {
  type Bench,
  clientAddress,
  createBench,
  otherAddress,
  serverAddress,
  volume,
  witnessAddress,
} from './harness.ts';
import { NfsClient, nfs } from './nfs-client.ts';

const there = (record: ServerRecord | undefined): boolean => record !== undefined;
const gone = (record: ServerRecord | undefined): boolean => record === undefined;

/** How long `work` took, in ms. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** What a client finds at the server's address: 'accepted', or why not. */
function knock(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: serverAddress, port });
    const done = (what: string) => {
      socket.destroy();
      resolve(what);
    };
    socket.once('connect', () => done('accepted')).once('error', (error) => done(error.message));
  });
}

/** Follows the claim. @returns where each version of it has its clients accepted. */
async function followClaim(store: Store, signal: AbortSignal): Promise<(string | undefined)[]> {
  const places: (string | undefined)[] = [];
  const key = vfileKeys.claim(volume);
  const { revision } = await store.list(key);
  const changes = (all: readonly Change[]) => {
    for (const one of all) {
      if (one.type === 'put') places.push(serverClaimSchema.parse(one.entry.value).address);
    }
  };
  store.watch(key, revision + 1, { changes, lost: () => undefined }, signal);
  return places;
}

// Where there is none yet it takes a minute or more: no test's own time.
beforeAll(async () => {
  await ganeshaTree();
}, 660_000);

describe.each(['ext4', 'xfs'] as const)('a file server on %s', (fsType) => {
  let bench: Bench | undefined;
  const clients: NfsClient[] = [];

  async function prepare(): Promise<Bench> {
    bench = await createBench(fsType);
    await bench.putNode('n2', clientAddress);
    await bench.putMount('n2', clientAddress);
    return bench;
  }
  async function mount(from: string, owner: string, privileged = true): Promise<NfsClient> {
    const client = await NfsClient.mount({
      address: serverAddress,
      port: bench?.port ?? 0,
      from,
      owner,
      privileged,
    });
    clients.push(client);
    return client;
  }
  /** How long a client is told to wait for the end of grace, in ms. */
  async function untilNoGrace(client: NfsClient): Promise<number> {
    return timed(async () => {
      for (;;) {
        const status = await client.openNew('vol', `file-${clients.length}`);
        if (status === nfs.ok) return;
        expect(status).toBe(nfs.grace);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });
  }

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await bench?.remove();
    bench = undefined;
  });

  it('serves the empty data directory to nodes of the Swarm and to nobody else', async () => {
    const { start, server, disk, port, putNode } = await prepare();
    const task = start();
    const record = await server(there);
    expect(record).toMatchObject({ node: 'n1', address: serverAddress, port, epoch: 1, instance: 1 });
    expect(record?.capacity?.size).toBeGreaterThan(200 * 2 ** 20);

    const data = await stat(join(disk.root, 'data'));
    expect([data.uid, data.gid, data.mode & 0o7777]).toEqual([1000, 1001, 0o770]);

    expect(await (await mount(clientAddress, 'node')).lookup('vol')).toBe(nfs.ok);
    expect(await (await mount(clientAddress, 'process', false)).lookup('vol')).toBe(nfs.noEntry);
    const stranger = await mount(otherAddress, 'stranger');
    expect(await stranger.lookup('vol')).toBe(nfs.noEntry);

    const late = await mount(otherAddress, 'late');
    await putNode('n3', otherAddress);
    await expect.poll(() => late.lookup('vol'), { timeout: 5_000 }).toBe(nfs.ok);
    await task.stop();
  });

  it('keeps 127.0.0.1 of its port free, where the nodes park', async () => {
    const { start, server, port } = await prepare();
    start();
    await server(there);
    const refused = await new Promise((resolve) => {
      connect({ host: '127.0.0.1', port }).once('error', resolve).once('connect', resolve);
    });
    expect(refused).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('starts ganesha again in place when it dies, and its client may reclaim', async () => {
    const { start, server, records } = await prepare();
    const task = start();
    await server(there);
    const before = await mount(clientAddress, 'node');
    expect(await before.openNew('vol', 'file')).toBe(nfs.ok);
    task.process().kill();
    await server(gone);
    const took = await timed(() => server((record) => record?.instance === 2));
    expect(took).toBeLessThan(2_000);
    expect((await server(there))?.epoch).toBe(1);
    expect(await records()).toEqual([expect.stringContaining(clientAddress)]);
    expect(await untilNoGrace(await mount(clientAddress, 'node'))).toBeLessThan(3_000);
  });

  it('refuses nobody while it starts ganesha again: who comes meanwhile waits', async () => {
    const { start, server, port } = await prepare();
    const task = start();
    await server(there);
    task.process().kill();
    const answers = new Set<string>();
    let again = false;
    const back = server((record) => record?.instance === 2).then(() => {
      again = true;
    });
    while (!again) answers.add(await knock(port));
    await back;
    expect([...answers]).toEqual(['accepted']);
  });

  it('ends grace as soon as its last client has reclaimed, however long the lease', async () => {
    const { start, server } = await prepare();
    // By itself ganesha would look after 10 s.
    const task = start({ VFILE_NFS_LEASE_SECONDS: '30', VFILE_NFS_GRACE_SECONDS: '60' });
    await server(there);
    await mount(clientAddress, 'node');
    task.process().kill();
    await server((record) => record?.instance === 2);
    expect(await untilNoGrace(await mount(clientAddress, 'node'))).toBeLessThan(1_500);
  });

  it('starts ganesha again when it hangs', async () => {
    const { start, server } = await prepare();
    const task = start({ VFILE_PROBE_INTERVAL_MS: '100', VFILE_PROBE_TIMEOUT_MS: '200' });
    await server(there);
    // Not by `freeze`: that is the supervisor's own.
    process.kill(task.process().pid, 'SIGSTOP');
    await server((record) => record?.instance === 2);
  });

  it('waits in grace for nobody whose node is gone', async () => {
    const { start, server, putNode, putMount, dropNode } = await prepare();
    await putNode('n3', otherAddress);
    await putMount('n3', otherAddress);
    const task = start({ VFILE_NFS_LEASE_SECONDS: '10' });
    await server(there);
    await mount(otherAddress, 'dead');
    await dropNode('n3');
    // Who sees what came after it has seen that the node is gone: else grace begins with its client, and again without.
    await putNode('n4', witnessAddress);
    const witness = await mount(witnessAddress, 'witness');
    await expect.poll(() => witness.lookup('vol'), { timeout: 5_000 }).toBe(nfs.ok);
    task.process().kill();
    await server((record) => record?.instance === 2);
    // With the record kept, grace would last until the check after 5 s at least.
    expect(await untilNoGrace(await mount(clientAddress, 'node'))).toBeLessThan(2_000);
  });

  it('begins grace again without a client whose node dies in grace', async () => {
    const { start, server, putNode, putMount, dropNode } = await prepare();
    await putNode('n3', otherAddress);
    await putMount('n3', otherAddress);
    const task = start({ VFILE_NFS_LEASE_SECONDS: '10' });
    await server(there);
    await mount(otherAddress, 'dead');
    task.process().kill();
    await server((record) => record?.instance === 2);
    await dropNode('n3');
    await server((record) => record?.instance === 3);
    expect(await untilNoGrace(await mount(clientAddress, 'node'))).toBeLessThan(2_000);
  });

  it('stops as planned: takes its record back, keeps those of its clients, lets go of the volume', async () => {
    const { start, server, records, store } = await prepare();
    const task = start();
    await server(there);
    await mount(clientAddress, 'node');
    const took = await timed(() => task.stop());
    expect(took).toBeLessThan(1_000);
    expect(await store.get(vfileKeys.server(volume))).toBeUndefined();
    expect(await store.get(vfileKeys.claim(volume))).toBeUndefined();
    expect(await records()).toEqual([expect.stringContaining(clientAddress)]);

    start();
    expect(await server(there)).toMatchObject({ epoch: 2, instance: 1 });
    expect(await untilNoGrace(await mount(clientAddress, 'node'))).toBeLessThan(3_000);
  });

  it('has a client on the disk as soon as the client is told so', async () => {
    const { start, server, records, disk } = await prepare();
    start();
    await server(there);
    // The link moves when grace ends; that of the very first start is synced like everything else.
    await expect
      .poll(() => disk.afterPowerCut(records).catch(() => 'no link'), { timeout: 10_000 })
      .toEqual([]);
    await mount(clientAddress, 'node');
    const recorded = [expect.stringContaining(clientAddress)];
    // XFS knows no dirsync: there the record follows within milliseconds, long before the log is written by itself.
    if (fsType === 'ext4') expect(await disk.afterPowerCut(records)).toEqual(recorded);
    else await expect.poll(() => disk.afterPowerCut(records), { timeout: 2_000 }).toEqual(recorded);
  });

  it('has a file on the disk as soon as its client is told that it was made', async () => {
    const { start, server, disk } = await prepare();
    start();
    await server(there);
    // No fsync: NFS promises that a change of a directory is stable when it is answered, and clients rely on it.
    for (const name of ['one', 'two', 'three']) {
      // Each time another one: on a busy machine a look at the disk takes longer than its lease, which it does not renew.
      const client = await mount(clientAddress, `node-${name}`);
      await untilNoGrace(client);
      expect(await client.openNew('vol', name)).toBe(nfs.ok);
      const files = await disk.afterPowerCut((root) => readdir(join(root, 'data')));
      expect(files).toContain(name);
    }
  });

  it('is dead before its lease can have run out when etcd falls silent, and serves on under a new claim when that answers', async () => {
    const { start, server, etcd } = await prepare();
    const task = start();
    await server(there);
    const process = task.process();
    const silent = performance.now();
    for (const member of etcd.members) await member.freeze();
    await process.exited;
    // Lease 2 s, margin 0.5 s.
    expect(performance.now() - silent).toBeLessThan(1_700);
    for (const member of etcd.members) member.thaw();
    const again = await server((record) => record?.epoch === 2);
    expect(again).toMatchObject({ instance: 1, after: expect.stringMatching(/lease could not be renewed/) });
    expect(task.process()).not.toBe(process);
    const client = await mount(clientAddress, 'node');
    await untilNoGrace(client);
    expect(await client.openNew('vol', 'after')).toBe(nfs.ok);
    await task.stop();
  });

  it('answers nobody beyond its lease, though nothing has stopped it yet: as a host that was frozen goes on', async () => {
    const { start, server, disk, port } = await prepare();
    // Neither a renewal nor a probe is to come in between.
    const task = start({ VFILE_SERVER_LEASE_MS: '60000', VFILE_PROBE_INTERVAL_MS: '60000' });
    await server(there);
    const client = await mount(clientAddress, 'node');
    await untilNoGrace(client);
    task.permit.allowUntil(performance.now());
    let answered = false;
    const made = client.openNew('vol', 'late').finally(() => {
      answered = true;
    });
    await expect.poll(() => readdir(join(disk.root, 'data'))).toContain('late');
    await expect(nfsNull(serverAddress, port, 500)).rejects.toThrow(/no answer/);
    expect(answered).toBe(false);
    task.permit.allowUntil(performance.now() + 60_000);
    expect(await made).toBe(nfs.ok);
  });

  it('gives up, and lets go of the volume, when its disk refuses writes', async () => {
    const { start, server, disk, store } = await prepare();
    const task = start({ VFILE_WRITE_PROBE_INTERVAL_MS: '500' });
    await server(there);
    await run('xfs_io', ['-x', '-c', 'shutdown', disk.root], { timeoutMs: 10_000 });
    await expect(task.done).rejects.toThrow(/disk does not accept writes/);
    expect(task.process().ended).toBe(true);
    expect(await store.get(vfileKeys.claim(volume))).toBeUndefined();
  });

  it('stands by without a claim until its disk arrives, and ends when the disk is taken away', async () => {
    const { start, server, disk, store, port } = await prepare();
    await disk.takeAway();
    const node = {
      v: 1,
      node: 'n9',
      host: 'host9',
      address: otherAddress,
      port: 20490,
      epoch: 1,
      instance: 1,
    };
    const other = { put: vfileKeys.server(volume), value: { ...node, since: '2026-01-01T00:00:00Z' } };
    await store.txn([], [other]);
    await server((record) => record?.node === 'n9');
    const standby = start();
    await expect.poll(() => standby.waiting().length).toBe(1);
    const [waiting] = standby.waiting();
    expect(await store.get(vfileKeys.claim(volume))).toBeUndefined();
    // Who is sent here before it serves need not be sent when it does.
    await expect.poll(() => knock(port), { timeout: 5_000 }).toBe('accepted');
    const early = nfsNull(serverAddress, port, 10_000);
    const watching = new AbortController();
    const places = await followClaim(store, watching.signal);
    // A volume that was never served, whose blank disk is on its way.
    standby.tellGranted(true);
    await expect.poll(() => store.get(vfileKeys.claim(volume))).toMatchObject({ value: { node: 'n1' } });
    await disk.arrive();
    const took = await timed(() => server((record) => record?.node === 'n1'));
    expect(took).toBeLessThan(2_000);
    expect(standby.process()).toBe(waiting);
    await early;
    await expect.poll(() => places).toEqual([undefined, serverAddress, undefined]);
    watching.abort();
    expect(await (await mount(clientAddress, 'node')).lookup('vol')).toBe(nfs.ok);

    await disk.takeAway();
    await expect(standby.done).rejects.toThrow(/taken away/);
    expect(standby.process().ended).toBe(true);
    expect(await store.get(vfileKeys.claim(volume))).toBeUndefined();
    await disk.arrive();
  });

  it('waits for the last holder of the claim, and names it when it does not go', async () => {
    const { start, server, store } = await prepare();
    const lease = await store.grantLease(5_000);
    const value = { v: 1, node: 'n9', epoch: 4, since: '2026-01-01T00:00:00Z' };
    await store.txn([], [{ put: vfileKeys.claim(volume), value, lease: lease.id }]);
    await expect(start({ VFILE_CLAIM_TIMEOUT_MS: '1000' }).done).rejects.toThrow(
      /still claimed by the server on node n9 \(epoch 4/,
    );
    start();
    await lease.revoke();
    await server(there);
  });

  it('refuses a disk that is not the volume’s own', async () => {
    const { start, store } = await prepare();
    await store.txn([], [{ put: vfileKeys.epoch(volume), value: { v: 1, epoch: 7 } }]);
    await expect(start().done).rejects.toThrow(/not the disk of volume shared: it carries no mark/);
  });
});
