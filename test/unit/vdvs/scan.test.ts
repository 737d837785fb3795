import { beforeEach, describe, expect, it } from 'vitest';
import { ServiceWorld } from './service-fixture.ts';

const plain = { adopt: false, dryRun: false };

describe('a scan of a datastore', () => {
  let world: ServiceWorld;
  beforeEach(async () => {
    world = new ServiceWorld();
    const { volumes, snapshots } = world.service();
    await volumes.create(world.ann, world.id('used'), { size: '1gb', fstype: 'xfs', mode: '0700' });
    await world.use(world.id('used'), 'content');
    await snapshots.create(world.ann, world.id('used'));
    await volumes.create(world.ann, world.id('new'), { access: 'read-only' });
  });
  const outcomes = async (request = plain, service = world.service(), datastore = 'ds') =>
    Object.fromEntries(
      (await service.scanner.scan(datastore, request)).disks.map((one) => [
        one.name ?? one.disk,
        one.outcome,
      ]),
    );
  const stranger = () => world.service({ cluster: async () => 'theirs' });

  it('finds all in order', async () => {
    expect(await outcomes()).toEqual({ used: 'present', 'used-000001': 'present', new: 'present' });
  });

  it('makes all records again after the loss of the store, with what was known of them', async () => {
    const before = await world.service().volumes.list();
    await world.loseStore();
    expect(await outcomes({ ...plain, dryRun: true })).toEqual({
      used: 'recovered',
      'used-000001': 'recovered',
      new: 'recovered',
    });
    expect((await world.store.list('/vdvs/')).entries).toEqual([]);
    await outcomes();
    const service = world.service();
    const after = await service.volumes.list();
    expect(after.map((view) => view.record.options)).toEqual(before.map((view) => view.record.options));
    expect((await service.volumes.get(world.id('used'))).record).toMatchObject({ formatted: true });
    expect(await service.snapshots.list()).toHaveLength(1);
    expect(await outcomes()).toEqual({ used: 'present', 'used-000001': 'present', new: 'present' });
    const again = service.snapshots.create(world.ann, world.id('used'));
    await world.clock.advance(2_000);
    expect((await again).name).toBe('used-000002');
  });

  it('lets epochs rise on, and has file systems checked before their next use', async () => {
    await world.loseStore();
    await outcomes();
    const lease = await world.store.client().grantLease(60_000);
    const { signal } = new AbortController();
    const request = { lease: lease.id, waitMs: 0 };
    const attaching = world.service().attachments.attach(world.ann, world.id('used'), request, signal);
    await world.clock.advance(2_000);
    const grant = await attaching;
    expect(grant.clean).toBe(false);
    expect(grant.epoch).toBeGreaterThan(1_000_000);
  });

  it("leaves another cluster's disks alone unless it is told to adopt them", async () => {
    await world.loseStore();
    const { disks } = await stranger().scanner.scan('ds', plain);
    expect(disks.map((one) => one.why)).toEqual(
      Array.from({ length: 3 }, () => 'it belongs to the cluster ours; adopt it to use it here'),
    );
    expect((await world.store.list('/vdvs/')).entries).toEqual([]);
  });

  it('adopts them with a new identity, so that their former cluster does not touch them any more', async () => {
    const former = world.service();
    const formerStore = world.store;
    const old = (await former.volumes.get(world.id('used'))).record;
    world.store = new ServiceWorld().store;
    const adopt = { adopt: true, dryRun: false };
    expect(await outcomes(adopt, stranger())).toEqual({
      used: 'adopted',
      'used-000001': 'adopted',
      new: 'refused',
    });
    const { record } = await stranger().volumes.get(world.id('used'));
    expect(record).toMatchObject({ formatted: false, inherits: [old.fsUuid] });
    expect(record.options).not.toHaveProperty('mode');
    expect(await outcomes(adopt, stranger())).toMatchObject({ used: 'present', 'used-000001': 'present' });
    const lease = await formerStore.client().grantLease(5_000);
    const { signal } = new AbortController();
    const request = { lease: lease.id, waitMs: 0 };
    await expect(
      former.attachments.attach(world.ann, world.id('used'), request, signal),
    ).rejects.toMatchObject({ code: 'exists' });
    await expect(former.snapshots.remove(world.id('used-000001'))).rejects.toMatchObject({ code: 'exists' });
    expect(world.ds.disks.get('used.vmdk')?.content).toBe('content');
  });

  it('goes on with an adoption that stopped half way', async () => {
    await world.loseStore();
    const store = world.store.client();
    const backend = {
      ...world.ds.backend,
      takeOver: async (...args: Parameters<typeof world.ds.backend.takeOver>) => {
        await world.ds.backend.takeOver(...args);
        store.goOffline();
      },
    };
    const dying = world.service({
      store,
      cluster: async () => 'theirs',
      backends: new Map([['ds', backend]]),
    });
    await expect(dying.scanner.scan('ds', { adopt: true, dryRun: false })).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(await outcomes({ adopt: true, dryRun: false }, stranger())).toMatchObject({ used: 'adopted' });
  });

  it('takes a copy of a disk on another datastore for a copy, not for the disk', async () => {
    for (const [file, disk] of world.ds.disks) world.other.disks.set(file, disk);
    const { disks } = await world.service().scanner.scan('other', plain);
    expect(disks.find((one) => one.name === 'used')).toMatchObject({
      outcome: 'refused',
      why: 'it is a copy of used@ds; adopt it to use it here',
    });
    await world.service().scanner.scan('other', { adopt: true, dryRun: false });
    const uuids = (await world.service().volumes.list()).map((view) => view.record.fsUuid);
    expect(new Set(uuids).size).toBe(uuids.length);
    expect(await outcomes()).toMatchObject({ used: 'present' });
  });

  it('tells what it cannot understand, and what is missing', async () => {
    const used = world.ds.disks.get('used.vmdk');
    if (!used) throw new Error('no disk');
    await world.loseStore();
    world.ds.disks.set('used.vmdk', { ...used, notes: null });
    world.ds.disks.set('renamed.vmdk', { ...used, disk: 'renamed.vmdk' });
    expect(await outcomes()).toMatchObject({ 'used.vmdk': 'strange', used: 'strange' });
    world.ds.disks.delete('new.vmdk');
    expect(await outcomes()).toMatchObject({ new: 'missing' });
    await expect(world.service().scanner.scan('nosuch', plain)).rejects.toThrow(
      'datastore "nosuch" is unknown',
    );
  });

  it('does not bring back a volume that is removed while it looks', async () => {
    const service = world.service();
    await service.volumes.create(world.ann, world.id('gone'), {});
    const backend = {
      ...world.ds.backend,
      async contents() {
        const found = await world.ds.backend.contents();
        await service.volumes.remove(world.id('gone'));
        return found;
      },
    };
    const slow = world.service({ backends: new Map([['ds', backend]]) });
    expect(await outcomes(plain, slow)).toMatchObject({ gone: 'refused', used: 'present' });
    await expect(service.volumes.get(world.id('gone'))).rejects.toMatchObject({ code: 'not_found' });
  });
});
