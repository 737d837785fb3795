import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { vfileKeys } from '../../../../src/vfile/keys.ts';
import { Cluster, type OneNode, settled, startOneNode } from './one-node.ts';

describe('volumes on a node', () => {
  let cluster: Cluster;
  let a: OneNode;
  let b: OneNode;

  beforeEach(async () => {
    cluster = new Cluster();
    a = await startOneNode(cluster, 'a');
    b = await startOneNode(cluster, 'b');
  });
  afterEach(() => {
    a.crash();
    b.crash();
  });
  /** What the manager does last when it removes a volume. */
  const managerRemoves = (volume: string) => cluster.deletePrefix(vfileKeys.volume(volume));

  it('follow their server: one that comes, one that goes, and one that accepts before it serves', async () => {
    await cluster.volume('vol');
    await cluster.serve('vol', '10.0.0.1');
    await cluster.delete(vfileKeys.server('vol'));
    const claim = { v: 1, node: 'n2', epoch: 2, since: '' };
    await cluster.put(vfileKeys.claim('vol'), { ...claim, address: '10.0.0.2' });
    expect(a.looks).toEqual([
      { volume: 'vol', server: '10.0.0.1' },
      { volume: 'vol', server: undefined },
      { volume: 'vol', server: '10.0.0.2' },
    ]);
  });

  describe('create', () => {
    it('ends when the base volume is there', async () => {
      const create = a.driver.create('vol', { size: '1gb' });
      expect(await settled(cluster.clock, create)).toBe('pending');
      await cluster.status('vol', { state: 'Creating', baseReady: false, reason: 'making the base volume' });
      expect(await settled(cluster.clock, create)).toBe('pending');
      await cluster.status('vol', { state: 'Ready', baseReady: true });
      await create;
      expect(await cluster.spec('vol')).toMatchObject({ options: { size: '1gb' }, createdBy: 'a' });
    });

    it('of the same from two nodes at once makes one volume, and both succeed', async () => {
      const creates = [a.driver.create('vol', { size: '1gb' }), b.driver.create('vol', { size: '1024mb' })];
      await cluster.clock.settle();
      await cluster.status('vol', {});
      await Promise.all(creates);
      await b.driver.create('vol', {});
    });

    it('with other options than the volume has names the difference', async () => {
      await cluster.volume('vol');
      await expect(a.driver.create('vol', { size: '2gb' })).rejects.toMatchObject({
        code: 'exists',
        message: expect.stringMatching(/size is 100mb, not 2gb/),
      });
    });

    it('with bad options makes nothing', async () => {
      await expect(a.driver.create('vol', { size: '2', wrong: '1' })).rejects.toMatchObject({
        code: 'invalid',
      });
      expect(await cluster.spec('vol')).toBeUndefined();
    });

    it('tells why the base volume could not be made, and takes away what it began', async () => {
      const create = a.driver.create('vol', {});
      await cluster.clock.settle();
      await cluster.status('vol', { state: 'Error', baseReady: false, reason: 'datastore default is full' });
      expect((await cluster.spec('vol'))?.deleting).toBeDefined();
      expect(await settled(cluster.clock, create)).toBe('pending');
      await managerRemoves('vol');
      await expect(create).rejects.toThrow('volume vol could not be created: datastore default is full');
    });

    it('that fails is undone by the one that made it, not by those who joined in; all get the reason', async () => {
      const first = a.driver.create('vol', {});
      first.catch(() => undefined);
      await cluster.clock.settle();
      const joined = b.driver.create('vol', {});
      joined.catch(() => undefined);
      await cluster.clock.settle();
      const before = b.writes();
      await cluster.status('vol', { state: 'Error', baseReady: false, reason: 'no space' });
      await expect(joined).rejects.toThrow(/no space/);
      expect(b.writes()).toBe(before);
      await managerRemoves('vol');
      await expect(first).rejects.toThrow(/no space/);
    });

    it('never takes away a volume of the same name that somebody else made since', async () => {
      const create = a.driver.create('vol', {});
      create.catch(() => undefined);
      await cluster.clock.settle();
      await managerRemoves('vol');
      await cluster.clock.advance(1_000);
      await cluster.volume('vol');
      await expect(create).rejects.toThrow(/removed meanwhile/);
      expect((await cluster.spec('vol'))?.deleting).toBeUndefined();
    });

    it('without a manager gives up before Docker does, says so, and leaves nothing that could come to life', async () => {
      const create = a.driver.create('vol', {});
      create.catch(() => undefined);
      await cluster.clock.advance(103_000 + 8_000);
      await expect(create).rejects.toMatchObject({
        code: 'timeout',
        message: expect.stringMatching(
          /not ready after 103 s \(no manager has looked at it yet\); no vFile manager leads/,
        ),
      });
      expect((await cluster.spec('vol'))?.deleting).toBeDefined();
    });

    it('waits for the removal of an earlier volume of that name', async () => {
      await cluster.volume('vol');
      const remove = b.driver.remove('vol');
      await cluster.clock.settle();
      const create = a.driver.create('vol', {});
      await cluster.clock.advance(2_000);
      expect(await settled(cluster.clock, create)).toBe('pending');
      await managerRemoves('vol');
      await cluster.clock.advance(200);
      await remove;
      expect(await cluster.spec('vol')).toMatchObject({ createdBy: 'a' });
      await cluster.status('vol', {});
      await create;
    });

    it('while etcd is out of reach says so', async () => {
      a.store.goOffline();
      await cluster.clock.settle();
      await expect(a.driver.create('vol', {})).rejects.toMatchObject({ code: 'unavailable' });
    });
  });

  describe('remove', () => {
    it('ends when the volume is gone', async () => {
      await cluster.volume('vol');
      const remove = a.driver.remove('vol');
      expect(await settled(cluster.clock, remove)).toBe('pending');
      expect((await cluster.spec('vol'))?.deleting).toBeDefined();
      await managerRemoves('vol');
      await remove;
    });

    it('of a volume in use anywhere is refused, naming who uses it', async () => {
      await cluster.volume('vol');
      await cluster.serve('vol');
      await b.driver.mount('vol', 'id7');
      await expect(a.driver.remove('vol')).rejects.toMatchObject({
        code: 'busy',
        message: 'volume vol is in use by host-b (mount id7)',
      });
      expect((await cluster.spec('vol'))?.deleting).toBeUndefined();
    });

    it('of an unknown volume says so', async () => {
      await expect(a.driver.remove('nothing')).rejects.toMatchObject({ code: 'not_found' });
    });

    it('that takes too long says what the manager says', async () => {
      await cluster.volume('vol');
      const remove = a.driver.remove('vol');
      remove.catch(() => undefined);
      await cluster.clock.settle();
      await cluster.status('vol', { state: 'Deleting', reason: 'base volume is held by node2' });
      await cluster.clock.advance(45_000);
      await expect(remove).rejects.toMatchObject({
        code: 'timeout',
        message: expect.stringMatching(
          /not gone after 45 s; its removal goes on \(Deleting: base volume is held by node2\)/,
        ),
      });
    });
  });

  describe('get and list', () => {
    it('show what users know, and more', async () => {
      await cluster.volume('vol');
      const idle = await a.driver.get('vol');
      expect(idle?.status).toMatchObject({ 'Volume Status': 'Ready', 'Global Refcount': 0, Clients: null });
      await cluster.serve('vol');
      await b.driver.mount('vol', 'id1');
      await b.driver.mount('vol', 'id2');
      await cluster.status('vol', {
        state: 'Mounted',
        serviceName: 'vfile-vol',
        standby: { node: 'n3', host: 'host3' },
      });
      const volume = await a.driver.get('vol');
      expect(volume).toMatchObject({ name: 'vol', mountpoint: '', createdAt: '2026-01-01T00:00:00.000Z' });
      expect(volume?.status).toMatchObject({
        'Volume Status': 'Mounted',
        'Global Refcount': 1,
        'File server Port': 20501,
        'Service name': 'vfile-vol',
        Clients: ['10.0.1.1'],
        'Base volume': '_vF_vol',
        'Server node': 'h-10.0.0.1',
        'Server address': '10.0.0.1',
        'Standby node': 'host3',
      });
      expect((await b.driver.get('vol'))?.mountpoint).toBe('/mnt/vfile/vol');
      expect((await a.driver.list()).map((one) => one.name)).toEqual(['vol']);
    });

    it('say that a volume does not exist only after asking', async () => {
      expect(await a.driver.get('vol')).toBeUndefined();
    });

    it('answer from the last known set while etcd is out of reach, and never deny a volume then', async () => {
      await cluster.volume('vol');
      a.store.goOffline();
      await cluster.clock.settle();
      expect((await a.driver.get('vol'))?.status).toMatchObject({
        'Last known': expect.stringMatching(/out of date/),
      });
      expect(await a.driver.list()).toHaveLength(1);
      await expect(a.driver.get('other')).rejects.toMatchObject({ code: 'unavailable' });
    });
  });
});
