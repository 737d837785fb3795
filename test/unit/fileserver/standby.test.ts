import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAttached, placeholderName, receivesMounts } from '../../../src/fileserver/attachment.ts';
import { vfileKeys } from '../../../src/vfile/keys.ts';
import { Bench, heldFd, volume } from './fakes.ts';

describe('a file server whose disk is not there yet', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench();
    bench.attached = false;
  });
  const arrive = async () => {
    bench.attached = true;
    await bench.clock.advance(50);
  };

  it('claims nothing and touches nothing, however long it takes; it serves as soon as the disk is there', async () => {
    await bench.start();
    await bench.clock.advance(3_600_000);
    expect([bench.outcome, bench.events]).toEqual(['running', ['hold']]);
    expect(await bench.value('claim')).toBeUndefined();
    await arrive();
    expect(bench.events).toEqual(['hold', 'prepare', 'start']);
    expect(await bench.value('server')).toMatchObject({ node: 'n1', address: '10.0.0.1', epoch: 1 });
  });

  it('has a ganesha wait for its turn, which lets all nodes mount that there are by then', async () => {
    await bench.start();
    const [first] = bench.waiting;
    expect(first?.config).toContain('Clients = 10.0.0.1;');
    await bench.putNode('n2', '10.0.0.2');
    const [second] = bench.waiting;
    expect([bench.waiting.length, first?.ended]).toEqual([1, true]);
    expect(second?.config).toContain('Clients = 10.0.0.1, 10.0.0.2;');
    await arrive();
    expect([bench.process === second, bench.waiting]).toEqual([true, []]);
    expect(bench.listenFds).toEqual([heldFd]);
  });

  it('takes the ganesha that waits also when a node is gone, which then may not mount any more', async () => {
    await bench.start();
    await bench.putNode('n2', '10.0.0.2');
    const [waiting] = bench.waiting;
    await bench.dropNode('n2');
    expect(bench.waiting).toEqual([waiting]);
    await arrive();
    expect(bench.process).toBe(waiting);
    expect(bench.process.config).toContain('Clients = 10.0.0.1;');
    expect(bench.events).toEqual(['hold', 'prepare', 'start', 'reload']);
  });

  it('starts another ganesha when the one that waited has died', async () => {
    await bench.start();
    const [waiting] = bench.waiting;
    waiting?.die();
    await arrive();
    expect(bench.process).not.toBe(waiting);
    expect(await bench.value('server')).toMatchObject({ instance: 1 });
  });

  it('leaves no ganesha behind when it is stopped', async () => {
    await bench.start();
    expect(bench.waiting).toHaveLength(1);
    await bench.stop();
    expect([bench.outcome, bench.waiting, bench.epochs]).toEqual(['stopped', [], []]);
  });

  it('waits for the claim of the last server to run out when the disk is there sooner', async () => {
    const lease = await bench.store.grantLease(5_000);
    const value = { v: 1, node: 'n9', epoch: 1, since: '' };
    const epoch = { put: vfileKeys.epoch(volume), value: { v: 1, epoch: 1 } };
    await bench.store.txn([], [{ put: vfileKeys.claim(volume), value, lease: lease.id }, epoch]);
    await bench.start();
    await arrive();
    expect(bench.events).toEqual(['hold', 'prepare served']);
    await lease.revoke();
    await bench.clock.advance(50);
    expect(await bench.value('server')).toMatchObject({ node: 'n1', epoch: 2 });
  });

  describe('that is given to its node', () => {
    const give = async (ours: boolean) => {
      bench.tellGranted(ours);
      await bench.clock.settle();
    };

    it('claims the volume while the disk is still on its way, and touches it only when it is there', async () => {
      await bench.start();
      await give(true);
      expect(await bench.value('claim')).toMatchObject({ node: 'n1', epoch: 1 });
      await bench.clock.advance(10_000);
      expect([bench.events, await bench.value('server')]).toEqual([['hold'], undefined]);
      await arrive();
      expect(await bench.value('server')).toMatchObject({ epoch: 1 });
      // Of a volume that was only claimed no disk carries a mark.
      expect(bench.events).toEqual(['hold', 'prepare', 'start']);
      expect(await bench.value('epoch')).toEqual({ v: 1, epoch: 1, served: true });
    });

    it('gives the claim back when the disk goes elsewhere after all, and claims anew when it comes again', async () => {
      await bench.start();
      await give(true);
      await give(false);
      expect(await bench.value('claim')).toBeUndefined();
      await give(true);
      await arrive();
      expect(await bench.value('server')).toMatchObject({ epoch: 2 });
      expect(bench.events).toContain('prepare');
    });

    it('leaves no claim behind when it is stopped meanwhile', async () => {
      await bench.start();
      await give(true);
      await bench.stop();
      expect([bench.outcome, await bench.value('claim')]).toEqual(['stopped', undefined]);
    });

    it('claims anew when the store was out of reach meanwhile', async () => {
      await bench.start();
      bench.own.goOffline();
      await give(true);
      await bench.clock.advance(2_000);
      bench.own.goOnline();
      await arrive();
      await bench.clock.advance(2_000);
      expect(await bench.value('server')).toMatchObject({ node: 'n1' });
    });

    it('has waited for the last server’s claim by the time that the disk is there', async () => {
      const lease = await bench.store.grantLease(5_000);
      const value = { v: 1, node: 'n9', epoch: 1, since: '' };
      const epoch = { put: vfileKeys.epoch(volume), value: { v: 1, epoch: 1 } };
      await bench.store.txn([], [{ put: vfileKeys.claim(volume), value, lease: lease.id }, epoch]);
      await bench.start();
      await give(true);
      await lease.revoke();
      await bench.clock.settle();
      expect(await bench.value('claim')).toMatchObject({ node: 'n1', epoch: 2 });
      await arrive();
      expect(await bench.value('server')).toMatchObject({ epoch: 2 });
    });
  });

  it('says with its claim where its clients are accepted already, until it serves', async () => {
    await bench.start();
    bench.answers = false;
    await arrive();
    expect(await bench.value('claim')).toMatchObject({ epoch: 1, address: '10.0.0.1' });
    expect(await bench.value('server')).toBeUndefined();
    const before = await bench.store.get(vfileKeys.claim(volume));
    bench.answers = true;
    await bench.clock.advance(1_000);
    expect(await bench.value('server')).toMatchObject({ epoch: 1 });
    const claim = await bench.store.get(vfileKeys.claim(volume));
    expect(claim?.value).toEqual({ v: 1, node: 'n1', epoch: 1, since: expect.any(String) });
    // The same claim still, which everything compares that is written under it.
    expect([claim?.createRevision, claim?.lease]).toEqual([before?.createRevision, before?.lease]);
  });

  it('takes that back when its ganesha dies before it has served', async () => {
    await bench.start();
    bench.answers = false;
    await arrive();
    expect(await bench.value('claim')).toMatchObject({ address: '10.0.0.1' });
    bench.process.die();
    await bench.clock.settle();
    expect(await bench.value('claim')).toEqual({ v: 1, node: 'n1', epoch: 1, since: expect.any(String) });
    bench.answers = true;
    await bench.clock.advance(1_000);
    expect(await bench.value('server')).toMatchObject({ epoch: 1, instance: 2 });
  });

  it('says nothing of the sort when nobody would be accepted', async () => {
    bench.accepts = false;
    await bench.start();
    bench.answers = false;
    await arrive();
    expect(await bench.value('claim')).not.toHaveProperty('address');
  });

  it('takes over also when its plugin shows no sign of life at that moment', async () => {
    await bench.start();
    await bench.clock.advance(1_000);
    await bench.dropNode('n1');
    await arrive();
    expect(await bench.value('server')).toMatchObject({ address: '10.0.0.1' });
  });

  it('ends at once when it is asked to', async () => {
    await bench.start();
    await bench.stop();
    expect([bench.outcome, bench.processes]).toEqual(['stopped', []]);
  });

  it('ends at once also while the store is out of reach', async () => {
    bench.own.goOffline();
    await bench.start();
    await bench.stop();
    expect(bench.outcome).toBe('stopped');
  });

  it('ends when the volume is gone', async () => {
    await bench.start();
    await bench.store.txn([], [{ delete: vfileKeys.spec(volume) }]);
    await bench.clock.advance(50);
    expect(bench.outcome).toMatchObject({ code: 'not_found' });
  });

  it('stays while another one serves, though the disk could never appear in it; then makes way', async () => {
    bench.receives = false;
    await bench.store.txn([], [{ put: vfileKeys.server(volume), value: { v: 1 } }]);
    await bench.start();
    await bench.clock.advance(60_000);
    expect(bench.outcome).toBe('running');
    await bench.store.txn([], [{ delete: vfileKeys.server(volume) }]);
    await bench.clock.advance(4_900);
    expect(bench.outcome).toBe('running');
    await bench.clock.advance(200);
    expect(bench.outcome).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('cannot appear in this container'),
    });
  });
});

describe('a file server that serves', () => {
  it('ends when its disk is taken away, and lets go of the volume', async () => {
    const bench = new Bench();
    await bench.start();
    bench.attached = false;
    await bench.clock.advance(1_000);
    expect(bench.outcome).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('taken away'),
    });
    expect(bench.events.slice(-2)).toEqual(['kill', 'let go']);
    expect(await bench.value('claim')).toBeUndefined();
  });

  it('stops in its own time when the leader asks this very server to make way for the standby', async () => {
    const bench = new Bench();
    const ask = (epoch: number, stop: boolean) =>
      bench.store.txn([], [{ put: vfileKeys.move(volume), value: { v: 1, epoch, at: '', stop } }]);
    await bench.putMount('n2', '10.0.0.2');
    await bench.start();
    await ask(1, false);
    await ask(7, true);
    await bench.clock.advance(1_000);
    expect(bench.outcome).toBe('running');
    await ask(1, true);
    await bench.clock.advance(1_000);
    expect([bench.outcome, ...bench.events.slice(-3)]).toEqual(['stopped', 'kill', 'hand over', 'let go']);
    expect(await bench.value('claim')).toBeUndefined();
  });
});

describe('whether the disk is there', () => {
  let root = '';
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'vfile-attachment-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  it('it is unless the placeholder says otherwise', async () => {
    expect(await isAttached(root)).toBe(true);
    await writeFile(join(root, placeholderName), '');
    expect(await isAttached(root)).toBe(false);
  });

  it.each([
    ['shared:12 master:7', true],
    ['master:7', true],
    ['shared:12', true],
    ['', false],
  ])('with mount tags "%s" it can appear later: %s', async (tags, expected) => {
    const mountInfo = join(root, 'mountinfo');
    const fields = ['40 22 0:50 / /export-root ro,relatime', tags, '- tmpfs none ro'];
    await writeFile(mountInfo, `${fields.filter((one) => one !== '').join(' ')}\n`);
    expect(await receivesMounts('/export-root', mountInfo)).toBe(expected);
    expect(await receivesMounts('/elsewhere', mountInfo)).toBe(false);
  });
});
