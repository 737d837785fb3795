import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Lease } from '../../../src/etcd/store.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { type ServiceWorld, type TwoServices, twoServices } from './service-fixture.ts';

describe('volumes of the vDVS service', () => {
  let two: TwoServices;
  let world: ServiceWorld;
  let id: TwoServices['id'];
  let annLease: Lease;
  let service: TwoServices['service'];
  let create: TwoServices['create'];
  let attach: TwoServices['attach'];
  let store: MemoryStore;
  let disks: ServiceWorld['ds'];
  let ann: ServiceWorld['ann'];
  let bob: ServiceWorld['bob'];

  beforeEach(async () => {
    two = await twoServices();
    ({ world, id, annLease, service, create, attach } = two);
    ({ store, ds: disks, ann, bob } = world);
  });
  afterEach(() => two.end());

  it('begins no volume for somebody who has hung up', async () => {
    const gone = AbortSignal.abort(new VolumeError('unavailable', 'the caller hung up'));
    await expect(service().volumes.create(ann, id, {}, gone)).rejects.toThrow('the caller hung up');
    expect(await service().volumes.list()).toEqual([]);
    expect(disks.disks.size).toBe(0);
  });

  it('begins no volume for somebody who hangs up while it waits for its turn', async () => {
    const gone = new AbortController();
    const made = service().volumes.create(ann, id, {}, gone.signal);
    gone.abort(new VolumeError('unavailable', 'the caller hung up'));
    await expect(made).rejects.toThrow('the caller hung up');
    expect(disks.disks.size).toBe(0);
  });

  it('creates a volume once, however often and from however many sides it is asked to', async () => {
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, index) => service(index % 2).volumes.create(ann, id, { size: '1gb' })),
    );
    expect(new Set(all.map((view) => view.record.fsUuid)).size).toBe(1);
    expect(disks.disks.size).toBe(1);
    expect((await service().volumes.get(id)).record).toMatchObject({
      phase: 'ready',
      createdBy: 'ann',
      epoch: 0,
    });
  });

  it('refuses a second create that asks for something else', async () => {
    await create({ size: '1gb' });
    await expect(create({ size: '2gb' })).rejects.toMatchObject({
      code: 'exists',
      message: 'volume v@ds exists already with other options: size is 1gb, not 2gb',
    });
    await expect(create()).resolves.toBeDefined();
  });

  it('lets a volume from before there was a choice take on when its mounts answer', async () => {
    const { fsUuid } = (await create({ size: '1gb' })).record;
    await attach(ann, annLease);
    const all = await Promise.all(
      [0, 1, 0, 1].map((index) => service(index).volumes.create(bob, id, { attach: 'deferred' })),
    );
    expect(all.map(({ record }) => [record.options.attach, record.fsUuid])).toEqual(
      Array.from({ length: 4 }, () => ['deferred', fsUuid]),
    );
    const [disk] = disks.disks.values();
    expect(disk?.notes).toMatchObject({ record: { options: { attach: 'deferred' } } });
    expect((await create({ size: '1gb' })).record.options.attach).toBe('deferred');
    await expect(create({ attach: 'at-once' })).rejects.toThrow('attach is deferred, not at-once');
  });

  it('makes nothing when options, name or datastore are refused', async () => {
    await expect(create({ size: '2' })).rejects.toMatchObject({ code: 'invalid' });
    await expect(create({ policy: 'x' })).rejects.toThrow('no storage policy x');
    await expect(service().volumes.create(ann, { ...id, datastore: 'xx' }, {})).rejects.toThrow(
      'datastore "xx" is unknown; there are: ds',
    );
    await expect(service().volumes.create(ann, { ...id, name: 'v-123456' }, {})).rejects.toThrow('snapshots');
    expect((await store.list('/vdvs/')).entries).toEqual([]);
  });

  it('leaves nothing behind when the disk cannot be made', async () => {
    disks.failures.push(new VolumeError('no_space', 'datastore full'));
    await expect(create()).rejects.toThrow('datastore full');
    expect((await store.list('/vdvs/')).entries).toEqual([]);
  });

  it('clears up with the next create when not even the clearing up worked', async () => {
    disks.failures.push(new VolumeError('unavailable', 'gone'), new VolumeError('unavailable', 'gone'));
    await expect(create({ size: '1gb' })).rejects.toThrow('gone');
    await expect(service().volumes.get(id)).rejects.toMatchObject({ code: 'not_found' });
    expect((await create({ size: '2gb' })).record.options.sizeBytes).toBe(2 ** 31);
  });

  it('completes a volume whose creator died before the disk was made', async () => {
    disks.failures.push(new VolumeError('unavailable', 'gone'));
    const crashed = store.client();
    const dying = {
      ...disks.backend,
      create: async () => {
        crashed.goOffline();
      },
    };
    await expect(
      world.service({ store: crashed, backends: new Map([['ds', dying]]) }).volumes.create(ann, id, {}),
    ).rejects.toMatchObject({ code: 'unavailable' });
    disks.failures.length = 0;
    expect((await create()).record.phase).toBe('ready');
    expect(disks.disks.size).toBe(1);
  });

  it('removes a volume with its disk, and says that it is gone afterwards', async () => {
    await create();
    await service().volumes.remove(id);
    expect(disks.disks.size).toBe(0);
    expect((await store.list('/vdvs/')).entries).toEqual([]);
    await expect(service().volumes.remove(id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('does not remove an attached volume, and names who has it', async () => {
    await create();
    await attach(ann, annLease);
    await expect(service(1).volumes.remove(id)).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringContaining('attached to ann since 2026'),
    });
  });

  it('goes on with a removal that stopped half way', async () => {
    await create();
    disks.failures.push(new VolumeError('unavailable', 'gone'));
    await expect(service().volumes.remove(id)).rejects.toThrow('gone');
    await expect(attach(ann, annLease)).rejects.toMatchObject({ code: 'not_found' });
    await service(1).volumes.remove(id);
    expect((await store.list('/vdvs/')).entries).toEqual([]);
  });

  it('lists what is there and who has it', async () => {
    await create();
    await service().volumes.create(bob, { datastore: 'ds', name: 'v2' }, {});
    await attach(ann, annLease);
    const list = await service(1).volumes.list();
    expect(list.map((view) => [view.record.name, view.attached?.host])).toEqual([
      ['v', 'ann'],
      ['v2', undefined],
    ]);
  });
});
