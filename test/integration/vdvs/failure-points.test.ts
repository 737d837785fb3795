import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServiceClient } from '../../../src/vdvs/service-client.ts';
import { freePort } from '../../contract/free-port.ts';
import { loopsIn, mountsIn } from './clear-host.ts';
import { listing, startWorld, until, type World, writeDurably } from './world.ts';

const program = resolve(import.meta.dirname, '../../../dist/vdvs-service.mjs');

describe('a process that dies at a point of an operation, and starts again', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
    await world.b.start();
  });
  afterAll(() => world.end());

  /** Nothing is open on this host, nothing attached; once removed, nothing is left at all. */
  const expectCleanEnd = async (name: string) => {
    await until('the mounts to go', () => mountsIn(world.dir).length === 0);
    await until('the devices to go', () => loopsIn(world.dir).length === 0);
    while ((await world.b.status(name)).status !== 'detached') await delay(50);
    expect(await world.b.call('Remove', { Name: name })).toEqual({ Err: '' });
    expect(listing(world.datastore)).toEqual([]);
    const { entries } = await world.store.list('/vdvs/');
    expect(entries.filter(({ key }) => key.includes(name))).toEqual([]);
  };

  it.each(['attach.granted', 'attach.opened', 'format.made', 'mount.mounted', 'mount.formatted'])(
    'plugin, %s',
    async (point) => {
      const { a, b } = world;
      const name = point.replace('.', '-');
      await b.create(name, { mode: '0711' });
      await a.start({ VDVS_FAIL_AT: point });
      await expect(a.mount(name, 'lost')).rejects.toThrow();
      await a.died();
      await a.start();
      const path = await a.mount(name, 'again');
      expect(listing(path)).toEqual([]);
      writeFileSync(join(path, 'data'), point);
      await a.unmount(name, 'again');
      expect(readFileSync(join(await b.mount(name, 'other'), 'data'), 'utf8')).toBe(point);
      await b.unmount(name, 'other');
      await expectCleanEnd(name);
      await a.killAll();
    },
  );

  it.each(['unmount.unmounted', 'detach.closed', 'detach.done'])('plugin, %s', async (point) => {
    const { a, b } = world;
    const name = point.replace('.', '-');
    await b.create(name);
    await a.start({ VDVS_FAIL_AT: point });
    const path = await a.mount(name, 'one');
    writeFileSync(join(path, 'data'), point);
    await expect(a.unmount(name, 'one')).rejects.toThrow();
    await a.died();
    await a.start();
    // The engine may or may not ask again.
    if (point !== 'detach.closed') await a.unmount(name, 'one');
    expect(readFileSync(join(await b.mount(name, 'other'), 'data'), 'utf8')).toBe(point);
    await b.unmount(name, 'other');
    await expectCleanEnd(name);
    await a.killAll();
  });

  it.each(['takeover.made', 'takeover.recorded'])('service, %s', async (point) => {
    const { a, b, store } = world;
    const name = point.replace('.', '-');
    const id = { datastore: 'default', name };
    await b.create(name);
    await a.start();
    const onA = await a.mount(name, 'lost');
    writeDurably(join(onA, 'data'), point);
    const [device = ''] = loopsIn(world.dir);
    await a.killAll();
    while ((await b.status(name)).status !== 'detached') await delay(50);
    const { client, died } = await dyingService(point);
    const lease = await store.grantLease(10_000);
    await expect(client.attachOnce(id, lease.id, 0)).rejects.toMatchObject({ code: 'unavailable' });
    expect(await died).toEqual([null, 'SIGKILL']);
    await lease.revoke();
    const onB = await b.mount(name, 'other');
    writeDurably(join(onA, 'data'), 'late');
    expect(readFileSync(join(onB, 'data'), 'utf8')).toBe(point);
    await b.unmount(name, 'other');
    await a.start();
    await until('the device to go', () => !loopsIn(world.dir).includes(device));
    await world.admin.scan('default', { adopt: false, dryRun: false });
    expect(listing(world.datastore).filter((file) => file.endsWith('-flat.vmdk'))).toHaveLength(1);
    await expectCleanEnd(name);
    await a.killAll();
  });

  /** A service of its own that dies at a point of what it is asked. */
  const dyingService = async (point: string) => {
    const port = await freePort();
    const child = spawn(process.execPath, [program], {
      env: {
        PATH: process.env.PATH ?? '',
        ...world.serviceEnv,
        VDVS_SERVICE_PORT: String(port),
        VDVS_FAIL_AT: point,
      },
      stdio: 'ignore',
    });
    const died = once(child, 'exit');
    for (let up = false; !up; ) {
      const probe = createConnection(port, '127.0.0.1');
      up = await Promise.race([
        once(probe, 'connect').then(() => true),
        once(probe, 'error').then(() => false),
      ]).catch(() => false);
      probe.destroy();
      if (!up) await delay(50);
    }
    const endpoints = async () => [{ host: '127.0.0.1', port }];
    return { client: createServiceClient({ ...world.manage, endpoints }), died };
  };

  it.each(['create.recorded', 'create.made', 'remove.marked', 'remove.deleted'])(
    'service, %s',
    async (point) => {
      const id = { datastore: 'default', name: point.replace('.', '-') };
      const { client, died } = await dyingService(point);
      const asked = async () => {
        await client.create(id, { size: '200mb' });
        await client.remove(id);
      };
      await expect(asked()).rejects.toMatchObject({ code: 'unavailable' });
      expect(await died).toEqual([null, 'SIGKILL']);
      expect(await world.b.call('Get', { Name: id.name })).toEqual({ Volume: null, Err: '' });
      // With other options: what was begun is completed or gone, but never in the way of the next user.
      const options = point.startsWith('create') ? { size: '200mb' } : { size: '300mb' };
      await world.b.create(id.name, options);
      const path = await world.b.mount(id.name, 'one');
      writeFileSync(join(path, 'data'), 'x');
      await world.b.unmount(id.name, 'one');
      await expectCleanEnd(id.name);
    },
  );
});
