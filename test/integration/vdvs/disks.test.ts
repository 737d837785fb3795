import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBaseGrowth } from '../../../src/main/wiring/base-growth.ts';
import { loopsIn, mountsIn } from './clear-host.ts';
import { listing, startWorld, type World } from './world.ts';

describe('disks of real volumes, over the plugin and the service', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
    await Promise.all([world.a.start(), world.b.start()]);
  });
  afterAll(() => world.end());

  /** Writes on one node, reads on another. */
  const write = async (volume: string, text: string) => {
    const path = await world.a.mount(volume, 'w');
    writeFileSync(join(path, 'data'), text);
    await world.a.unmount(volume, 'w');
  };
  const read = async (volume: string): Promise<string> => {
    const path = await world.b.mount(volume, 'r');
    const text = readFileSync(join(path, 'data'), 'utf8');
    await world.b.unmount(volume, 'r');
    return text;
  };
  const info = (folder: string, file: string) =>
    JSON.parse(
      execFileSync('qemu-img', ['info', '--output=json', join(folder, file)], { encoding: 'utf8' }),
    ) as Record<string, unknown>;

  it('the same name on two datastores is two volumes, and the long name is the short one', async () => {
    const { a } = world;
    await a.create('twin', { size: '200mb' });
    await a.create('twin@slow', { size: '300mb', diskformat: 'zeroedthick' });
    await a.create('twin@default', { size: '200mb' });
    await write('twin', 'default');
    await write('twin@slow', 'slow');
    expect([await read('twin@default'), await read('twin@slow')]).toEqual(['default', 'slow']);
    expect(await a.status('twin@slow')).toEqual({
      access: 'read-write',
      attach: 'at-once',
      'attach-as': 'independent_persistent',
      capacity: { size: '300mb', allocated: expect.stringMatching(/^300(\.0)?mb$/) },
      'clone-from': 'None',
      created: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      'created by VM': expect.any(String),
      datastore: 'slow',
      diskformat: 'zeroedthick',
      fstype: 'ext4',
      status: 'detached',
      'vsan-policy-name': 'None',
    });
    expect(info(world.slow, 'twin.vmdk')).toMatchObject({ format: 'vmdk', 'virtual-size': 300 * 2 ** 20 });
    expect(await a.call('Create', { Name: 'twin@nosuch', Opts: {} })).toEqual({
      Err: 'datastore "nosuch" is unknown; there are: default, slow',
    });
  });

  it.each(['ext4', 'xfs'])('%s: clones and restored snapshots are volumes of their own', async (fstype) => {
    const { a, b, admin } = world;
    const name = `src-${fstype}`;
    await a.create(name, { size: '320mb', fstype });
    await write(name, 'first');
    const snapshot = await admin.createSnapshot({ datastore: 'default', name });
    expect(snapshot.name).toBe(`${name}-000001`);
    await write(name, 'second');
    await a.create(`clone-${fstype}@slow`, { 'clone-from': name });
    await b.create(`old-${fstype}`, { 'clone-from': `${name}-000001` });
    await write(name, 'third');
    // All of them at once on one host: three file systems, not three views of one.
    const paths = await Promise.all(
      [name, `clone-${fstype}@slow`, `old-${fstype}`].map((one) => a.mount(one, 'm')),
    );
    expect(paths.map((path) => readFileSync(join(path, 'data'), 'utf8'))).toEqual([
      'third',
      'second',
      'first',
    ]);
    const uuids = loopsIn(world.dir).map((device) =>
      execFileSync('blkid', ['-p', '-o', 'value', '-s', 'UUID', device], { encoding: 'utf8' }),
    );
    expect(new Set(uuids).size).toBe(3);
    expect((await a.status(`clone-${fstype}@slow`))['clone-from']).toBe(`${name}@default`);
    expect(await a.call('Create', { Name: 'late', Opts: { 'clone-from': name } })).toEqual({
      Err: expect.stringContaining(`volume ${name}@default is attached to`),
    });
    for (const one of [name, `clone-${fstype}@slow`, `old-${fstype}`]) await a.unmount(one, 'm');
    expect(await a.call('Remove', { Name: name })).toEqual({
      Err: `volume ${name}@default has snapshots, remove them first: ${name}-000001`,
    });
    await admin.removeSnapshot({ datastore: 'default', name: `${name}-000001` });
    expect(await a.call('Remove', { Name: name })).toEqual({ Err: '' });
    expect(await read(`old-${fstype}`)).toBe('first');
    expect(mountsIn(world.dir)).toEqual([]);
  });

  it('a volume grows on the host that has it mounted, while that writes to it', async () => {
    const { a, admin } = world;
    await a.create('grows', { size: '320mb', fstype: 'xfs' });
    const path = await a.mount('grows', 'm');
    writeFileSync(join(path, 'data'), 'before');
    const { record } = await admin.resize({ datastore: 'default', name: 'grows' }, '1gb');
    expect(record.growing).toBeUndefined();
    const { blocks, bsize } = statfsSync(path);
    expect(blocks * bsize).toBeGreaterThan(900 * 2 ** 20);
    expect((await a.status('grows')).capacity).toMatchObject({ size: '1gb' });
    expect(info(world.datastore, 'grows.vmdk')).toMatchObject({ 'virtual-size': 2 ** 30 });
    await a.unmount('grows', 'm');
    expect(await read('grows')).toBe('before');
    const smaller = admin.resize({ datastore: 'default', name: 'grows' }, '500mb');
    await expect(smaller).rejects.toThrow('volumes can only grow, not shrink to 500mb');
  });

  it('a base volume grows by its name alone', async () => {
    const grow = createBaseGrowth(world.manage);
    await world.a.create('_vF_shared@slow', { size: '320mb', fstype: 'xfs' });
    const path = await world.a.mount('_vF_shared@slow', 'm');
    expect(await grow('_vF_shared', '600mb')).toEqual({ growing: false });
    expect(statfsSync(path).blocks * statfsSync(path).bsize).toBeGreaterThan(500 * 2 ** 20);
    await world.a.unmount('_vF_shared@slow', 'm');
    await expect(grow('_vF_nosuch', '600mb')).rejects.toThrow('vDVS has no volume _vF_nosuch');
    await world.a.call('Remove', { Name: '_vF_shared@slow' });
  });

  it('all volumes come back from their folders when etcd has lost everything', async () => {
    const { a, admin, store, slow } = world;
    await a.create('kept@slow', { size: '320mb', fstype: 'xfs' });
    await write('kept@slow', 'precious');
    await admin.createSnapshot({ datastore: 'slow', name: 'kept' });
    for (const kind of ['volumes', 'snapshots']) {
      await store.txn([], [{ deletePrefix: `/vdvs/${kind}/` }]);
    }
    expect(await a.call('Get', { Name: 'kept@slow' })).toEqual({ Volume: null, Err: '' });
    rmSync(join(slow, 'clone-ext4.vdvs.json'));
    const { disks } = await admin.scan('slow', { adopt: false, dryRun: false });
    expect(disks.map((one) => [one.name ?? one.disk, one.outcome])).toEqual([
      ['clone-ext4.vmdk', 'strange'],
      ['clone-xfs', 'recovered'],
      ['kept-000001', 'recovered'],
      ['kept', 'recovered'],
      ['twin', 'recovered'],
    ]);
    expect(await read('kept@slow')).toBe('precious');
    await a.create('restored', { 'clone-from': 'kept-000001@slow' });
    expect(await read('restored')).toBe('precious');
    expect(listing(slow).filter((file) => file.startsWith('.creating'))).toEqual([]);
  });
});
