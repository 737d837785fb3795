import { beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { DatastoreBackend } from '../../../src/vdvs/backends/backend.ts';
import { ServiceWorld } from './service-fixture.ts';

describe('a clone', () => {
  let world: ServiceWorld;
  let service: ReturnType<ServiceWorld['service']>;
  const never = new AbortController().signal;
  beforeEach(() => {
    world = new ServiceWorld();
    service = world.service();
  });
  const create = (name: string, options: Record<string, string> = {}, datastore = 'ds') =>
    service.volumes.create(world.ann, world.id(name, datastore), options);
  const clone = (name: string, from: string, options: Record<string, string> = {}) =>
    create(name, { 'clone-from': from, ...options });

  it('has the size, file system, format and content of its source, and an identity of its own', async () => {
    await create('src', { size: '2gb', fstype: 'xfs', diskformat: 'zeroedthick', uid: '5', mode: '0700' });
    await world.use(world.id('src'), 'content');
    const { record } = await clone('copy', 'src', { access: 'read-only', gid: '7' });
    const source = (await service.volumes.get(world.id('src'))).record;
    expect(record).toMatchObject({
      phase: 'ready',
      formatted: false,
      inherits: [source.fsUuid],
      options: { sizeBytes: 2 ** 31, fstype: 'xfs', diskformat: 'zeroedthick', access: 'read-only', gid: 7 },
    });
    expect(record.options.cloneFrom).toBe('src@ds');
    expect(record.fsUuid).not.toBe(source.fsUuid);
    // Who uses the source may have given its root to somebody else since.
    expect(record.options).not.toHaveProperty('uid');
    expect(world.ds.disks.get('copy.vmdk')?.content).toBe('content');
  });

  it('of a volume that was never used is a new one, with the owner that was asked for', async () => {
    await create('src', { uid: '5', mode: '0700' });
    const { record } = await clone('copy', 'src', { mode: '0750' });
    expect(record).toMatchObject({ formatted: false, options: { uid: 5, mode: 0o750 } });
    expect(record.inherits).toBeUndefined();
  });

  it('may be on another datastore than its source', async () => {
    await create('src', { size: '2gb' }, 'other');
    await world.use(world.id('src', 'other'), 'content');
    expect((await clone('copy', 'src@other')).record.options.sizeBytes).toBe(2 ** 31);
  });

  it('is the same option with and without the datastore', async () => {
    await create('src');
    await clone('copy', 'src');
    await expect(clone('copy', 'src@ds')).resolves.toBeDefined();
    await create('src2');
    await expect(clone('copy', 'src2')).rejects.toThrow('clone-from is src@ds, not src2@ds');
  });

  it('is refused for a missing source, a bad name, and together with a size; nothing is made', async () => {
    await expect(clone('copy', 'nosuch')).rejects.toThrow('volume nosuch@ds does not exist');
    await expect(clone('copy', 'nosuch-000001')).rejects.toThrow('snapshot nosuch-000001@ds does not exist');
    await expect(clone('copy', 'a/b')).rejects.toMatchObject({ code: 'invalid' });
    await expect(clone('copy', 'src', { size: '1gb' })).rejects.toThrow('option size cannot be given');
    expect((await world.store.list('/vdvs/')).entries).toEqual([]);
    expect(world.ds.disks.size).toBe(0);
  });

  const attach = async (name: string) => {
    const lease = await world.store.client().grantLease(5_000);
    const request = { lease: lease.id, waitMs: 0 };
    return await service.attachments.attach(world.bob, world.id(name), request, never);
  };

  it('of an attached volume is refused, naming who has it', async () => {
    await create('src');
    await world.use(world.id('src'), 'content');
    await attach('src');
    await expect(clone('copy', 'src')).rejects.toThrow('volume src@ds is attached to bob since');
    expect(world.ds.disks.has('copy.vmdk')).toBe(false);
  });

  it('is given up when its source is used while it is copied, however short', async () => {
    await create('src');
    await world.use(world.id('src'), 'before');
    const copying: DatastoreBackend = {
      ...world.ds.backend,
      async copy(disk, from) {
        await world.ds.backend.copy(disk, from);
        await world.use(world.id('src'), 'after');
      },
    };
    const slow = world.service({ backends: new Map([['ds', copying]]) });
    const options = { 'clone-from': 'src' };
    await expect(slow.volumes.create(world.ann, world.id('copy'), options)).rejects.toThrow(
      'was used while it was copied',
    );
    expect([...world.ds.disks.keys()]).toEqual(['src.vmdk']);
    await expect(slow.volumes.get(world.id('copy'))).rejects.toMatchObject({ code: 'not_found' });
  });

  it('is not given up for a change of the source that has nothing to do with its content', async () => {
    await create('src');
    await world.use(world.id('src'), 'content');
    let times = 0;
    const copying: DatastoreBackend = {
      ...world.ds.backend,
      async copy(disk, from) {
        await world.ds.backend.copy(disk, from);
        times += 1;
        if (times === 1) await service.resizing.resize(world.ann, world.id('src'), '1gb');
      },
    };
    const slow = world.service({ backends: new Map([['ds', copying]]) });
    const made = await slow.volumes.create(world.ann, world.id('copy'), { 'clone-from': 'src' });
    expect(made.record).toMatchObject({ phase: 'ready', options: { sizeBytes: 100 * 2 ** 20 } });
  });

  it('waits for the last writes of a holder that was lost', async () => {
    await create('src');
    const lease = await world.store.client().grantLease(5_000);
    await service.attachments.attach(world.bob, world.id('src'), { lease: lease.id, waitMs: 0 }, never);
    await service.attachments.formatted(world.bob, world.id('src'), 1);
    await lease.revoke();
    let made = 0;
    const began = world.clock.monotonic();
    const cloning = clone('copy', 'src').then(() => {
      made = world.clock.monotonic();
    });
    await world.clock.advance(5_000);
    await cloning;
    expect(made - began).toBeGreaterThanOrEqual(500);
  });

  it('is copied by one of several services that are asked, and by the next one when that is gone', async () => {
    await create('src');
    await world.use(world.id('src'), 'content');
    let copies = 0;
    const counting: DatastoreBackend = {
      ...world.ds.backend,
      async copy(disk, from) {
        copies += 1;
        await world.clock.sleep(1_000);
        await world.ds.backend.copy(disk, from);
      },
    };
    const services = [0, 1, 2].map(() => world.service({ backends: new Map([['ds', counting]]) }));
    const options = { 'clone-from': 'src' };
    const all = Promise.all(services.map((one) => one.volumes.create(world.ann, world.id('copy'), options)));
    await world.clock.advance(1_500);
    expect(new Set((await all).map((view) => view.record.fsUuid)).size).toBe(1);
    expect(copies).toBe(1);

    const dying = world.service({
      backends: new Map([['ds', { ...world.ds.backend, copy: () => new Promise<void>(() => undefined) }]]),
      store: world.store.client(),
    });
    void dying.volumes.create(world.ann, world.id('second'), options);
    await world.clock.settle();
    const other = create('second', options);
    await world.clock.settle();
    const { entries } = await world.store.list('/vdvs/copying/');
    expect(entries).toHaveLength(1);
    world.store.dropLease(entries[0]?.lease ?? '');
    await world.clock.settle();
    expect((await other).record.phase).toBe('ready');
  });

  it('leaves nothing behind when there is no space for it', async () => {
    await create('src');
    await world.use(world.id('src'), 'content');
    world.ds.failures.push(new VolumeError('no_space', 'datastore full'));
    await expect(clone('copy', 'src')).rejects.toThrow('datastore full');
    await expect(service.volumes.get(world.id('copy'))).rejects.toMatchObject({ code: 'not_found' });
    expect([...world.ds.disks.keys()]).toEqual(['src.vmdk']);
  });

  it('asks the rules for its whole size, in the transaction that makes it', async () => {
    await create('src', { size: '2gb' });
    const asked: number[] = [];
    const ruled = world.service({
      gate: {
        ...world.gate(),
        commitSize: async ({ fromBytes, toBytes }, when, then) => {
          asked.push(fromBytes, toBytes);
          return await world.store.txn(when, [...then, { put: '/quota', value: { v: 1 } }]);
        },
      },
    });
    await ruled.volumes.create(world.ann, world.id('copy'), { 'clone-from': 'src' });
    expect(asked).toEqual([0, 2 ** 31]);
    expect(await world.store.get('/quota')).toBeDefined();
  });
});
