import { beforeEach, describe, expect, it } from 'vitest';
import type { Lease } from '../../../src/etcd/store.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { ServiceWorld } from './service-fixture.ts';

const gb = 2 ** 30;

describe('growing a volume', () => {
  const never = new AbortController().signal;
  let world: ServiceWorld;
  let service: ReturnType<ServiceWorld['service']>;
  let lease: Lease;
  beforeEach(async () => {
    world = new ServiceWorld();
    service = world.service();
    lease = await world.store.client().grantLease(60_000);
    await service.volumes.create(world.ann, world.id('v'), { size: '1gb' });
  });
  const id = () => world.id('v');
  const resize = (size: string) => service.resizing.resize(world.ann, id(), size);
  const attach = () => service.attachments.attach(world.bob, id(), { lease: lease.id, waitMs: 0 }, never);
  const tasks = (waitMs = 0) => service.resizing.tasks(world.bob, waitMs, never);
  const sizeOnDisk = () => world.ds.disks.get('v.vmdk')?.sizeBytes;

  it('makes the disk larger, and a file system that is there follows with the next mount', async () => {
    expect((await resize('2gb')).record).toMatchObject({ options: { sizeBytes: 2 * gb } });
    expect((await service.volumes.get(id())).record.growing).toBeUndefined();
    await world.use(id(), 'content');
    expect((await resize('3GB')).record.growing).toBe(true);
    expect(sizeOnDisk()).toBe(3 * gb);
    const { record, epoch } = await attach();
    expect(record).toMatchObject({ growing: true, options: { sizeBytes: 3 * gb } });
    await service.resizing.grown(world.bob, id(), epoch, 3 * gb);
    expect((await service.volumes.get(id())).record.growing).toBeUndefined();
    expect(world.ds.disks.get('v.vmdk')?.notes).toMatchObject({ record: { options: { sizeBytes: 3 * gb } } });
  });

  it('never makes it smaller, and accepts the size that it has', async () => {
    await expect(resize('512mb')).rejects.toThrow(
      'volume v@ds is 1gb; volumes can only grow, not shrink to 512mb',
    );
    await expect(resize('1gb')).resolves.toBeDefined();
    await expect(resize('1')).rejects.toThrow('option size: "1" is not a size');
    await expect(service.resizing.resize(world.ann, world.id('w'), '2gb')).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('tells the host that has it mounted, and waits for it', async () => {
    const { epoch } = await attach();
    const waiting = tasks(60_000);
    await world.clock.settle();
    const resizing = resize('2gb');
    expect(await waiting).toEqual([{ volume: id(), sizeBytes: 2 * gb }]);
    await service.resizing.grown(world.bob, id(), epoch, 2 * gb);
    await world.clock.settle();
    expect((await resizing).record.growing).toBeUndefined();
    expect(await tasks()).toEqual([]);
  });

  it('does not wait for ever for a host that does nothing', async () => {
    await attach();
    const resizing = resize('2gb');
    await world.clock.advance(21_000);
    expect((await resizing).record.growing).toBe(true);
    expect(await tasks()).toHaveLength(1);
  });

  it('goes on to the larger one of two sizes that are asked for one after another', async () => {
    const { epoch } = await attach();
    const both = [resize('2gb'), resize('3gb')];
    await world.clock.settle();
    await service.resizing.grown(world.bob, id(), epoch, 2 * gb);
    expect(await tasks()).toEqual([{ volume: id(), sizeBytes: 3 * gb }]);
    await service.resizing.grown(world.bob, id(), epoch, 3 * gb);
    await world.clock.advance(21_000);
    const outcomes = await Promise.allSettled(both);
    expect(outcomes[1]).toMatchObject({
      status: 'fulfilled',
      value: { record: { options: { sizeBytes: 3 * gb } } },
    });
  });

  it('believes only the holder', async () => {
    const { epoch } = await attach();
    void resize('2gb');
    await world.clock.settle();
    await expect(service.resizing.grown(world.ann, id(), epoch, 2 * gb)).rejects.toMatchObject({
      code: 'conflict',
    });
    expect((await service.volumes.get(id())).record.growing).toBe(true);
    expect(await service.resizing.tasks(world.ann, 0, never)).toEqual([]);
  });

  it('takes the wish back when there is no space', async () => {
    await world.use(id(), 'content');
    world.ds.failures.push(new VolumeError('no_space', 'datastore full'));
    await expect(resize('2gb')).rejects.toThrow('datastore full');
    expect((await service.volumes.get(id())).record.options.sizeBytes).toBe(gb);
  });

  it('is gone on with by whoever comes next after the service died', async () => {
    await world.use(id(), 'content');
    const store = world.store.client();
    const backend = { ...world.ds.backend, grow: async () => store.goOffline() };
    const dying = world.service({ store, backends: new Map([['ds', backend]]) });
    await expect(dying.resizing.resize(world.ann, id(), '2gb')).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(sizeOnDisk()).toBe(gb);
    expect((await attach()).record.growing).toBe(true);
    expect(sizeOnDisk()).toBe(2 * gb);
  });

  it('keeps nobody from the volume when what was promised cannot be had', async () => {
    await world.use(id(), 'content');
    await resize('2gb');
    world.ds.failures.push(new VolumeError('no_space', 'datastore full'));
    const grant = await attach();
    expect(grant.record.growing).toBeUndefined();
    expect(grant.location).toMatchObject({ file: 'v.vmdk' });
    expect((await attach()).record.growing).toBe(true);
  });

  it('asks the rules for the difference', async () => {
    const ruled = world.service({
      gate: {
        ...world.gate(),
        commitSize: async ({ fromBytes, toBytes }) => {
          throw new VolumeError('denied', `quota: ${toBytes - fromBytes} more`);
        },
      },
    });
    await expect(ruled.resizing.resize(world.ann, id(), '3gb')).rejects.toThrow(`quota: ${2 * gb} more`);
    expect(sizeOnDisk()).toBe(gb);
  });
});
