import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../../src/lib/errors.ts';
import { vfileKeys } from '../../../../src/vfile/keys.ts';
import { Cluster, type OneNode, settled, startOneNode } from './one-node.ts';

describe('mounts on a node', () => {
  let cluster: Cluster;
  let node: OneNode;
  const nodes: OneNode[] = [];
  const start: typeof startOneNode = async (...given) => {
    const one = await startOneNode(...given);
    nodes.push(one);
    return one;
  };

  beforeEach(async () => {
    cluster = new Cluster();
    await cluster.volume('vol');
    node = await start(cluster, 'a');
  });
  afterEach(() => {
    for (const one of nodes.splice(0)) one.crash();
  });

  it('are recorded first, wait for a server, and end with the mount point', async () => {
    const mount = node.driver.mount('vol', 'id1');
    expect(await settled(cluster.clock, mount)).toBe('pending');
    expect(await cluster.ids('vol', 'a')).toEqual({ id1: 1 });
    await cluster.serve('vol');
    expect(await mount).toBe('/mnt/vfile/vol');
    expect(node.mounter.calls).toEqual(['mount vol 10.0.0.1:20501']);
    expect(node.tracked.get('vol')).toBe(20501);
    expect(await node.driver.path('vol')).toBe('/mnt/vfile/vol');
  });

  it('of a volume that is mounted here cost one write and no mount', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    const before = node.writes();
    await node.driver.mount('vol', 'id2');
    expect(node.writes() - before).toBe(1);
    expect(node.mounter.calls).toHaveLength(1);
    expect(await cluster.ids('vol', 'a')).toEqual({ id1: 1, id2: 1 });
  });

  it('end with the last use; the record goes after the mount', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    await node.driver.mount('vol', 'id2');
    await node.driver.unmount('vol', 'id1');
    expect(node.mounter.table.has('vol')).toBe(true);
    expect(await cluster.ids('vol', 'a')).toEqual({ id2: 1 });
    let recordAtUnmount: unknown;
    node.mounter.onUnmount = async () => {
      recordAtUnmount = await cluster.ids('vol', 'a');
      return { how: 'clean' };
    };
    await node.driver.unmount('vol', 'id2');
    expect(recordAtUnmount).toEqual({ id2: 1 });
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
    expect(await node.driver.path('vol')).toBe('');
    expect(node.tracked.has('vol')).toBe(false);
  });

  it('count each ID: docker cp mounts with one that is in use', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    await node.driver.mount('vol', 'id1');
    expect(await cluster.ids('vol', 'a')).toEqual({ id1: 2 });
    await node.driver.unmount('vol', 'id1');
    expect(node.mounter.table.has('vol')).toBe(true);
    await node.driver.unmount('vol', 'id1');
    expect(node.mounter.table.has('vol')).toBe(false);
  });

  it('of the same volume at once mount it once', async () => {
    const mounts = ['id1', 'id2', 'id3'].map((id) => node.driver.mount('vol', id));
    await cluster.clock.settle();
    await cluster.serve('vol');
    expect(await Promise.all(mounts)).toEqual(Array(3).fill('/mnt/vfile/vol'));
    expect(node.mounter.calls).toHaveLength(1);
    expect(await cluster.ids('vol', 'a')).toEqual({ id1: 1, id2: 1, id3: 1 });
  });

  it('give up before Docker does, say why, and leave nothing behind', async () => {
    await cluster.status('vol', {
      state: 'Mounting',
      reason: 'no node is fit to serve: 3 nodes, 0 with vdvs',
    });
    const late = node.driver.mount('vol', 'id1');
    late.catch(() => undefined);
    await cluster.clock.advance(103_000);
    await expect(late).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(
        /no file server is ready; .*no node is fit to serve.*no vFile manager leads/,
      ),
    });
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
    expect(node.mounter.calls).toEqual([]);
    expect(node.tracked.size).toBe(0);
  });

  it('end with the reason when the manager gives up on a server while they wait', async () => {
    const mount = node.driver.mount('vol', 'id1');
    const refused = expect(mount).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(/volume vol .*no node is fit to serve \(a: paused\)/),
    });
    expect(await settled(cluster.clock, mount)).toBe('pending');
    await cluster.status('vol', {
      state: 'Error',
      reason: 'no file server after 60 s: no node is fit to serve (a: paused)',
    });
    await refused;
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
  });

  it('waiting behind one that gives up still have their own time', async () => {
    const first = node.driver.mount('vol', 'id1');
    first.catch(() => undefined);
    await cluster.clock.advance(50_000);
    const second = node.driver.mount('vol', 'id2');
    await cluster.clock.advance(60_000);
    await expect(first).rejects.toMatchObject({ code: 'timeout' });
    await cluster.serve('vol');
    expect(await second).toBe('/mnt/vfile/vol');
    expect(await cluster.ids('vol', 'a')).toEqual({ id2: 1 });
  });

  it('fail at once when the volume can never be used', async () => {
    const mount = node.driver.mount('vol', 'id1');
    mount.catch(() => undefined);
    await cluster.clock.settle();
    await cluster.status('vol', { state: 'Error', baseReady: false, reason: 'datastore full' });
    await expect(mount).rejects.toThrow(/datastore full/);
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
  });

  it('of a volume that is not there, or is being removed, are refused', async () => {
    await expect(node.driver.mount('nothing', 'id1')).rejects.toMatchObject({ code: 'not_found' });
    const spec = await cluster.spec('vol');
    await cluster.put(vfileKeys.spec('vol'), { ...spec, deleting: '2026-01-01T00:00:00Z' });
    await expect(node.driver.mount('vol', 'id1')).rejects.toMatchObject({ code: 'busy' });
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
  });

  it('are tried again when the server refuses, which it does until it knows a new node', async () => {
    await cluster.serve('vol');
    let refusals = 3;
    node.mounter.onMount = async () => {
      refusals -= 1;
      if (refusals >= 0) throw new VolumeError('unavailable', 'access denied by server');
    };
    const mount = node.driver.mount('vol', 'id1');
    await cluster.clock.advance(1_000);
    expect(await mount).toBe('/mnt/vfile/vol');
    expect(node.mounter.calls).toHaveLength(4);
  });

  it('are called off when the server moves, and go to the next one', async () => {
    await cluster.serve('vol', '10.0.0.1', 1);
    node.mounter.onMount = (address, signal) =>
      address === '10.0.0.2'
        ? Promise.resolve()
        : new Promise((_resolve, reject) =>
            signal?.addEventListener('abort', () => reject(new VolumeError('unavailable', 'called off'))),
          );
    const mount = node.driver.mount('vol', 'id1');
    await cluster.clock.settle();
    await cluster.delete(vfileKeys.server('vol'));
    await cluster.serve('vol', '10.0.0.2', 2);
    await cluster.clock.advance(200);
    expect(await mount).toBe('/mnt/vfile/vol');
    expect(node.mounter.calls).toEqual(['mount vol 10.0.0.1:20501', 'mount vol 10.0.0.2:20501']);
  });

  it('of an earlier volume of the name, with another port, are taken off', async () => {
    await cluster.serve('vol');
    node.mounter.table.set('vol', {
      volume: 'vol',
      path: '/mnt/vfile/vol',
      port: 29999,
      mountedFrom: '10.0.0.9',
    });
    await node.driver.mount('vol', 'id1');
    expect(node.mounter.calls).toEqual(['unmount vol', 'mount vol 10.0.0.1:20501']);
  });

  it('are ended while etcd is out of reach; the record goes when it is back', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    node.store.goOffline();
    await node.driver.unmount('vol', 'id1');
    expect(node.mounter.table.has('vol')).toBe(false);
    expect(await cluster.ids('vol', 'a')).toEqual({ id1: 1 });
    node.store.goOnline();
    await cluster.clock.advance(5_000);
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
  });

  it('while etcd is out of reach fail with that reason', async () => {
    node.store.goOffline();
    await cluster.clock.settle();
    await expect(node.driver.mount('vol', 'id1')).rejects.toMatchObject({ code: 'unavailable' });
    node.store.goOnline();
    await cluster.clock.advance(5_000);
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
  });

  it('keep the record, and so the server, for as long as the kernel writes data back', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    let finish: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    node.mounter.onUnmount = async () => ({ how: 'flushing', finished });
    await expect(node.driver.unmount('vol', 'id1')).rejects.toThrow(/still being written back/);
    expect(await cluster.ids('vol', 'a')).toEqual({ id1: 1 });
    expect(node.tracked.has('vol')).toBe(true);
    finish();
    await cluster.clock.settle();
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
    expect(node.tracked.has('vol')).toBe(false);
  });

  it('get their record back when a manager took it for that of a dead node', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    await cluster.delete(vfileKeys.mount('vol', 'a'));
    await cluster.clock.settle();
    expect(await cluster.ids('vol', 'a')).toEqual({ id1: 1 });
  });

  it('say in their record how long the last failover was for this node', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    node.resumedSlot.resumed('vol', { address: '10.0.0.2', epoch: 2, instance: 1 }, 7_100);
    await cluster.clock.settle();
    const stall = { epoch: 2, instance: 1, ms: 7_100 };
    const record = async () => (await cluster.store.get(vfileKeys.mount('vol', 'a')))?.value;
    expect(await record()).toMatchObject({ stall, ids: { id1: 1 } });
    await node.driver.mount('vol', 'id2');
    expect(await record()).toMatchObject({ stall, ids: { id1: 1, id2: 1 } });
  });

  it('survive the plugin: the next one goes on with them', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    const { mounter } = node;
    node.crash();
    const next = await start(cluster, 'a', {
      mounter,
      containers: [{ containerId: 'c1', driver: 'vfile', volume: 'vol' }],
    });
    await cluster.clock.advance(60_000);
    expect(await next.driver.path('vol')).toBe('/mnt/vfile/vol');
    expect(next.tracked.get('vol')).toBe(20501);
    await next.driver.mount('vol', 'id2');
    expect(await cluster.ids('vol', 'a')).toEqual({ id1: 1, id2: 1 });
    await next.driver.unmount('vol', 'id1');
    await next.driver.unmount('vol', 'id2');
    expect(mounter.table.size).toBe(0);
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
  });

  it('whose Unmount was never sent end when the engine runs nothing with the volume', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    const { mounter } = node;
    node.crash();
    const next = await start(cluster, 'a', { mounter, containers: undefined });
    await cluster.clock.advance(60_000);
    expect(mounter.table.has('vol')).toBe(true);
    next.containers = [];
    await cluster.clock.advance(5_000);
    expect(mounter.table.has('vol')).toBe(true);
    await cluster.clock.advance(4_000);
    expect(mounter.table.has('vol')).toBe(false);
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
  });

  it('of before the engine was killed end although a container came up again with its ID, and went', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    const { mounter } = node;
    node.crash();
    const containers = [{ containerId: 'c1', driver: 'vfile', volume: 'vol' }];
    const next = await start(cluster, 'a', { mounter, containers });
    await next.driver.mount('vol', 'id1');
    await cluster.clock.advance(60_000);
    await next.driver.unmount('vol', 'id1');
    expect(await cluster.ids('vol', 'a')).toEqual({ id1: 1 });
    next.containers = [];
    await cluster.clock.advance(9_000);
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
    expect(mounter.table.has('vol')).toBe(false);
  });

  it('of this process are not ended by that: docker cp needs no running container', async () => {
    await cluster.serve('vol');
    node.containers = [];
    await node.driver.mount('vol', 'id1');
    await cluster.clock.advance(120_000);
    expect(node.mounter.table.has('vol')).toBe(true);
  });

  it('that nobody recorded are counted for the containers that use them', async () => {
    const mounter = node.mounter;
    mounter.table.set('vol', { volume: 'vol', path: '/mnt/vfile/vol', port: 20501, mountedFrom: '10.0.0.1' });
    node.crash();
    const next = await start(cluster, 'a', {
      mounter,
      containers: [{ containerId: '0123456789abcdef', driver: 'vfile', volume: 'vol' }],
    });
    await cluster.clock.advance(1_000);
    expect(await cluster.ids('vol', 'a')).toEqual({ 'engine-0123456789ab': 1 });
    await next.driver.unmount('vol', 'whatever');
    expect(mounter.table.has('vol')).toBe(false);
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
  });

  it('of before a reboot are forgotten at once, engine or no engine', async () => {
    await cluster.serve('vol');
    await node.driver.mount('vol', 'id1');
    node.crash();
    await start(cluster, 'a', { rebooted: true });
    await cluster.clock.settle();
    expect(await cluster.ids('vol', 'a')).toBeUndefined();
  });

  it('show in the node’s sign of life what is wrong with them', async () => {
    node.problems.set('vol', 'volume vol: no transport');
    await cluster.clock.advance(3_000);
    const entry = await cluster.store.get(vfileKeys.node('a'));
    expect(entry?.value).toMatchObject({ host: 'host-a', problems: ['volume vol: no transport'] });
    cluster.store.dropLease(entry?.lease ?? '');
    await cluster.clock.advance(6_000);
    expect(await cluster.store.get(vfileKeys.node('a'))).toBeDefined();
  });
});
