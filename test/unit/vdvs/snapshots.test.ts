import { beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import { ServiceWorld } from './service-fixture.ts';

describe('snapshots', () => {
  let world: ServiceWorld;
  let service: ReturnType<ServiceWorld['service']>;
  beforeEach(async () => {
    world = new ServiceWorld();
    service = world.service();
    await service.volumes.create(world.ann, world.id('v'), { size: '1gb', uid: '9' });
  });
  const take = (name = 'v') => service.snapshots.create(world.bob, world.id(name));
  const names = async (name?: string) =>
    (await service.snapshots.list(name === undefined ? undefined : world.id(name))).map((one) => one.name);

  it('are numbered, and keep what the volume was', async () => {
    await world.use(world.id('v'), 'first');
    expect(await take()).toMatchObject({ name: 'v-000001', createdBy: 'bob', phase: 'ready' });
    await world.use(world.id('v'), 'second');
    await take();
    expect(await names('v')).toEqual(['v-000001', 'v-000002']);
    const restore = (name: string, from: string) =>
      service.volumes.create(world.ann, world.id(name), { 'clone-from': from });
    const { record } = await restore('old', 'v-000001');
    await restore('new', 'v-000002@ds');
    expect(world.ds.disks.get('old.vmdk')?.content).toBe('first');
    expect(world.ds.disks.get('new.vmdk')?.content).toBe('second');
    expect(record.options).toMatchObject({ sizeBytes: 2 ** 30, cloneFrom: 'v-000001@ds' });
    expect(record.options.uid).toBeUndefined();
    // The file system may bear the volume's UUID, which the snapshot does not change.
    const volume = (await service.volumes.get(world.id('v'))).record;
    expect(record.inherits).toContain(volume.fsUuid);
    expect(await service.volumes.list()).toHaveLength(3);
  });

  it('of different volumes do not mix, whatever these are called', async () => {
    await service.volumes.create(world.ann, world.id('v-x'), {});
    await take('v');
    await take('v-x');
    expect(await names('v')).toEqual(['v-000001']);
    expect(await names()).toEqual(['v-000001', 'v-x-000001']);
    await expect(take('v-000001')).rejects.toThrow('snapshots are taken of volumes');
    await expect(take('nosuch')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('never get a number twice, and keep their volume from being removed', async () => {
    await take();
    await expect(service.volumes.remove(world.id('v'))).rejects.toThrow(
      'volume v@ds has snapshots, remove them first: v-000001',
    );
    await service.snapshots.remove(world.id('v-000001'));
    expect((await take()).name).toBe('v-000002');
    await service.snapshots.remove(world.id('v-000002'));
    await expect(service.snapshots.remove(world.id('v-000002'))).rejects.toMatchObject({ code: 'not_found' });
    await service.volumes.remove(world.id('v'));
    expect(world.ds.disks.size).toBe(0);
    expect((await world.store.list('/vdvs/')).entries).toEqual([]);
  });

  it('taken at once get a number each', async () => {
    const others = [0, 1, 2, 3].map(() => world.service());
    const all = await Promise.all(others.map((one) => one.snapshots.create(world.ann, world.id('v'))));
    expect(all.map((one) => one.name).sort()).toEqual(['v-000001', 'v-000002', 'v-000003', 'v-000004']);
  });

  it('that a service began and did not end are ended by the next one, or go with their volume', async () => {
    await world.use(world.id('v'), 'content');
    const store = world.store.client();
    const dying = world.service({
      store,
      backends: new Map([['ds', { ...world.ds.backend, copy: async () => store.goOffline() }]]),
    });
    await expect(dying.snapshots.create(world.ann, world.id('v'))).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(await names('v')).toEqual([]);
    const { entries } = await world.store.list('/vdvs/copying/');
    world.store.dropLease(entries[0]?.lease ?? '');
    await take();
    expect(await names('v')).toEqual(['v-000001', 'v-000002']);
  });

  it('leave nothing behind when there is no space for them', async () => {
    await world.use(world.id('v'), 'content');
    world.ds.failures.push(new VolumeError('no_space', 'datastore full'));
    await expect(take()).rejects.toThrow('datastore full');
    expect(await names('v')).toEqual([]);
    await service.volumes.remove(world.id('v'));
    expect(world.ds.disks.size).toBe(0);
  });
});
