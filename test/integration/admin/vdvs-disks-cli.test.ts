import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RulesWorld, startRulesWorld } from '../vdvs/rules-world.ts';

describe('the command line vdvs on disks, under rules', () => {
  let world: RulesWorld;
  const vdvs = (line: string) => world.vdvs(...line.split(' '));
  const db = { datastore: 'fast', name: 'db' };

  beforeAll(async () => {
    world = await startRulesWorld();
    const [w1] = world.nodes;
    await vdvs('vmgroup create --name=Dev --default-datastore=fast --vm-list=host-w1');
    await vdvs('vmgroup access set --name=Dev --datastore=fast --volume-totalsize=5gb');
    await w1.client.create(db, { size: '1gb' });
  });
  afterAll(() => world.end());

  it('grows a volume of a group within its quota', async () => {
    expect(await vdvs('volume resize --volume=db@fast --vmgroup=Dev --size=2gb')).toBe(
      'volume db@fast has 2gb',
    );
    expect(await vdvs('volume ls --vmgroup=Dev')).toMatch(/db +fast +Dev +2\.0 GB/);
    await expect(vdvs('volume resize --volume=db@fast --vmgroup=Dev --size=6gb')).rejects.toThrow(
      'The total volume size exceeds the usage quota',
    );
    await expect(vdvs('volume resize --volume=db@fast --size=6gb')).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(vdvs('volume resize --volume=db --size=6gb')).rejects.toThrow('NAME@DATASTORE');
    await expect(
      world.vdvsAs('w1', 'volume', 'resize', '--volume=db@fast', '--vmgroup=Dev', '--size=3gb'),
    ).rejects.toMatchObject({ code: 'denied' });
  });

  it('tells that the file system follows the disk later', async () => {
    const [w1] = world.nodes;
    const { epoch } = await w1.client.attach(db, w1.lease, 0);
    await w1.client.formatted(db, epoch);
    await w1.client.detach(db, epoch, true);
    expect(await vdvs('volume resize --volume=db@fast --vmgroup=Dev --size=2049mb')).toBe(
      'volume db@fast has 2049mb; its file system follows with its next mount',
    );
  });

  it('takes, lists and removes snapshots, which count for the quota', async () => {
    expect(await vdvs('snapshot create --volume=db@fast --vmgroup=Dev')).toBe(
      'snapshot db-000001@fast taken',
    );
    await expect(vdvs('snapshot create --volume=db@fast --vmgroup=Dev')).rejects.toThrow(
      'The total volume size exceeds the usage quota',
    );
    expect(await vdvs('snapshot ls')).toMatch(/^Snapshot.*\n *db-000001 +fast +Dev +2\.0 GB +ext4 +desk +20/);
    expect(JSON.parse(await vdvs('snapshot ls --volume=db@fast --vmgroup=Dev --json'))).toMatchObject([
      { name: 'db-000001', vmgroup: 'Dev', copyOf: { name: expect.stringContaining('db') } },
    ]);
    expect(await vdvs('snapshot ls --volume=db@fast')).not.toContain('000001');
    const remove = 'snapshot rm --snapshot=db-000001@fast --vmgroup=Dev';
    await expect(vdvs(remove)).rejects.toThrow('Snapshot db-000001@fast is removed. Confirm with --yes.');
    await expect(vdvs('snapshot rm --snapshot=db@fast --yes')).rejects.toThrow('is no snapshot');
    expect(await vdvs(`${remove} --yes`)).toBe('snapshot db-000001@fast removed');
    await expect(vdvs(`${remove} --yes`)).rejects.toMatchObject({ code: 'not_found' });
  });

  it("clones within a group's name space and quota", async () => {
    const [w1, w2] = world.nodes;
    const copy = { datastore: 'fast', name: 'copy' };
    await expect(w2.client.create(copy, { 'clone-from': 'db' })).rejects.toThrow(
      'volume db@fast does not exist',
    );
    const { record } = await w1.client.create(copy, { 'clone-from': 'db' });
    expect(record.options).toMatchObject({ cloneFrom: 'db@fast', sizeBytes: 2049 * 2 ** 20 });
    await expect(
      w1.client.create({ datastore: 'fast', name: 'another' }, { 'clone-from': 'db' }),
    ).rejects.toThrow('The total volume size exceeds the usage quota');
    await w1.client.remove(copy);
  });

  it('scans a datastore, and asks before it takes anything over', async () => {
    const [, w2] = world.nodes;
    await w2.client.create({ datastore: 'slow', name: 'web' }, {});
    await w2.client.create({ datastore: 'slow', name: 'lost' }, {});
    await world.store.txn([], [{ delete: '/vdvs/volumes/slow/web' }]);
    await rm(join(world.dir, 'slow', 'lost.vmdk'));
    expect(await vdvs('datastore scan --name=slow --dry-run')).toMatch(/web\.vmdk +web +recovered/);
    expect(await vdvs('volume shortls')).not.toContain('web');
    const report = await vdvs('datastore scan --name=slow');
    expect(report).toMatch(/web\.vmdk +web +recovered/);
    expect(report).toMatch(/lost\.vmdk +lost +missing +there is a record, but no disk/);
    expect(report).toMatch(/lost-flat\.vmdk +strange/);
    expect(await vdvs('volume shortls')).toMatch(/web +slow/);
    await expect(vdvs('datastore scan --name=slow --adopt')).rejects.toThrow('Confirm with --yes.');
    await expect(vdvs('datastore scan --name=nosuch')).rejects.toThrow('there are: fast, slow');
  });
});
