import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inOwnMounts } from '../own-mounts.ts';
import { startFakeEngine } from '../swarm/fake-engine.ts';
import { loopsIn, mountsIn } from './clear-host.ts';
import { leaseMs, listing, showLogs, startWorld, until, type World, writeDurably } from './world.ts';

describe('block volumes on two nodes, with real processes, disks and etcd', () => {
  let world: World;
  beforeEach(async () => {
    world = await startWorld();
    await Promise.all([world.a.start(), world.b.start()]);
  });
  afterEach(async (context) => {
    showLogs(world, context);
    await world.end();
  });

  /** What another host has taken over may go a little later. */
  const nothingLeft = async () => {
    expect(mountsIn(world.dir)).toEqual([]);
    await until('the devices to go', () => loopsIn(world.dir).length === 0);
  };

  it.each(['ext4', 'xfs'])('%s: a volume follows its user from node to node', async (fstype) => {
    const { a, b } = world;
    await a.create('v', { size: '320mb', fstype, uid: '1000', gid: '1001', mode: '0750' });
    const onA = await a.mount('v', 'one');
    expect(onA).toBe(join(a.mountRoot, 'default/v'));
    expect(listing(onA)).toEqual([]);
    const { uid, gid, mode } = statSync(onA);
    expect([uid, gid, mode & 0o7777]).toEqual([1000, 1001, 0o750]);
    writeDurably(join(onA, 'data'), 'written on a');
    expect(await b.status('v')).toMatchObject({
      status: 'attached',
      fstype,
      capacity: { size: '320mb' },
      datastore: 'default',
      access: 'read-write',
    });
    await a.unmount('v', 'one');
    expect(await a.status('v')).toMatchObject({ status: 'detached' });

    const onB = await b.mount('v@default', 'two');
    expect(readFileSync(join(onB, 'data'), 'utf8')).toBe('written on a');
    await b.unmount('v', 'two');
    await nothingLeft();
    await b.call('Remove', { Name: 'v' });
    expect(await a.call('Get', { Name: 'v' })).toEqual({ Volume: null, Err: '' });
    expect(listing(world.datastore)).toEqual([]);
  });

  it('counts users, and the same mount ID twice', async () => {
    const { a } = world;
    await a.create('v');
    const path = await a.mount('v', 'one');
    expect(await a.mount('v', 'one')).toBe(path);
    expect(await a.mount('v', 'two')).toBe(path);
    await a.unmount('v', 'one');
    await a.unmount('v', 'one');
    await a.unmount('v', 'one');
    expect(mountsIn(world.dir)).toEqual([path]);
    await a.unmount('v', 'two');
    await nothingLeft();
  });

  it('makes a volume read-only for its users', async () => {
    const { a } = world;
    await a.create('v', { access: 'read-only' });
    for (const id of ['first', 'second']) {
      const path = await a.mount('v', id);
      expect(() => writeFileSync(join(path, 'x'), 'x')).toThrow('read-only file system');
      await a.unmount('v', id);
    }
    await nothingLeft();
  });

  it('lets a mount wait until the other node lets go', async () => {
    const { a, b } = world;
    await a.create('v');
    await a.mount('v', 'one');
    const waiting = b.mount('v', 'two');
    const first = await Promise.race([waiting, a.status('v')]);
    expect(first).toMatchObject({ status: 'attached' });
    await a.unmount('v', 'one');
    expect(await waiting).toBe(join(b.mountRoot, 'default/v'));
  });

  it('refuses bad options and the removal of a volume in use, naming its user', async () => {
    const { a, b } = world;
    expect(await a.call('Create', { Name: 'v', Opts: { size: '2' } })).toEqual({
      Err: expect.stringContaining('option size: "2" is not a size'),
    });
    await a.create('v', { size: '1gb' });
    expect(await b.call('Create', { Name: 'v', Opts: { size: '2gb' } })).toEqual({
      Err: 'volume v@default exists already with other options: size is 1gb, not 2gb',
    });
    await a.mount('v', 'one');
    expect(await b.call('Remove', { Name: 'v' })).toEqual({
      Err: expect.stringContaining('in use: attached to'),
    });
    expect(await b.call('Remove', { Name: 'w' })).toEqual({ Err: 'volume w@default does not exist' });
  });

  it('keeps mounts and counts when the main process is killed', async () => {
    const { a } = world;
    await a.create('v');
    const path = await a.mount('v', 'one');
    await a.mount('v', 'two');
    const before = a.mainPid();
    a.killMain();
    await until('another main process', () => a.mainPid() !== before && a.mainPid());
    await a.activated();
    writeDurably(join(path, 'data'), 'still here');
    await a.unmount('v', 'one');
    expect(mountsIn(world.dir)).toEqual([path]);
    await a.unmount('v', 'two');
    await nothingLeft();
  });

  it('keeps mounts when the whole plugin is killed and starts again within the lease', async () => {
    const { a } = world;
    await a.create('v');
    const path = await a.mount('v', 'one');
    await a.killAll();
    await a.start();
    expect(await a.mount('v', 'two')).toBe(path);
    writeDurably(join(path, 'data'), 'still here');
    expect((await a.status('v')).status).toBe('attached');
    await a.unmount('v', 'one');
    await a.unmount('v', 'two');
    await nothingLeft();
  });

  it('gives back what no container uses any more when the engine was lost with the plugin', async () => {
    const { a, b } = world;
    await a.create('used');
    await a.create('unused');
    const used = await a.mount('used', 'one');
    await a.mount('unused', 'two');
    await a.killAll();
    const mounts = [{ Type: 'volume', Name: 'used', Driver: 'vdvs:latest', Destination: '/data' }];
    const engine = await startFakeEngine(
      world.engineSocket,
      new Map([
        ['GET /containers/json', { status: 200, text: JSON.stringify([{ Id: 'c1', Mounts: mounts }]) }],
      ]),
    );
    try {
      await a.start();
      await until('the unused one to go', () => mountsIn(world.dir).length === 1);
      expect(mountsIn(world.dir)).toEqual([used]);
      while ((await b.status('unused')).status !== 'detached') await delay(100);
      await a.unmount('used', 'one');
      await nothingLeft();
    } finally {
      await engine.stop();
    }
  });

  /** A process that writes through the mount in a name space of its own, as a container does. */
  const startWriter = async (folder: string) => {
    const loop = 'while echo x >>"$1/written" && sync "$1/written"; do sleep 0.05; done';
    const [program, ...args] = inOwnMounts(world.dir, [], ['sh', '-c', loop, 'sh', folder]);
    const writer = spawn(program, args, { stdio: 'ignore' });
    await until('the writer', () => listing(folder).includes('written'));
    return { pid: writer.pid, ended: once(writer, 'exit') };
  };

  it('lets nobody write behind its back after an unmount', async () => {
    const { a, b } = world;
    await a.create('v');
    const writer = await startWriter(await a.mount('v', 'one'));
    await a.unmount('v', 'one');
    await writer.ended;
    expect((await b.status('v')).status).toBe('detached');
    await until('the device to go', () => loopsIn(world.dir).length === 0);
    expect(listing(await b.mount('v', 'two'))).toEqual(['written']);
  });

  it('lets nobody write any more when it ends with volumes in use', async () => {
    const { a, b } = world;
    await a.create('v');
    const writer = await startWriter(await a.mount('v', 'one'));
    await a.terminate();
    await writer.ended;
    expect((await b.status('v')).status).toBe('detached');
    await until('the device to go', () => loopsIn(world.dir).length === 0);
    expect(listing(await b.mount('v', 'two'))).toEqual(['written']);
  });

  it('unmounts and detaches everything when it is told to end', async () => {
    const { a, b } = world;
    await a.create('v');
    await a.mount('v', 'one');
    await a.terminate();
    await nothingLeft();
    expect((await b.status('v')).status).toBe('detached');
    const began = Date.now();
    await b.mount('v', 'two');
    expect(Date.now() - began).toBeLessThan(leaseMs);
  });
});
