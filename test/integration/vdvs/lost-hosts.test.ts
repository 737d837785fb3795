import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { vdvsKeys } from '../../../src/vdvs/keys.ts';
import { volumeRecordSchema } from '../../../src/vdvs/types.ts';
import { startTcpProxy } from '../../contract/tcp-proxy.ts';
import { loopsIn, mountsIn } from './clear-host.ts';
import { detach } from './detach.ts';
import { leaseMs, listing, showLogs, startWorld, until, type World, writeDurably } from './world.ts';

describe('block volumes of a host that is lost, with real processes, disks and etcd', () => {
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

  /** What was made for hosts to be left behind. */
  const copies = () => readdirSync(world.datastore).filter((name) => /~.*-flat\.vmdk$/.test(name));

  const untilDetached = async () => {
    while ((await world.b.status('v')).status !== 'detached') await delay(100);
  };

  /** What a loss of power leaves: nothing more is written, nothing is mounted. */
  const powerOff = (mountpoint: string, device: string) => {
    execFileSync('xfs_io', ['-x', '-c', 'shutdown', mountpoint]);
    execFileSync('umount', [mountpoint]);
    detach(device, world.dir);
  };

  it('shuts down what is left when the plugin starts again after its lease', async () => {
    const { a, b } = world;
    await a.create('v');
    const onA = await a.mount('v', 'one');
    writeDurably(join(onA, 'data'), 'from a');
    await a.killAll();
    await untilDetached();
    await a.start();
    await until('the old mount to go', () => !mountsIn(world.dir).includes(onA));
    expect(a.log()).toContain('file system shut down');
    const onB = await b.mount('v', 'two');
    writeDurably(join(onB, 'data'), ', from b');
    await b.unmount('v', 'two');
    await nothingLeft();
    expect(readFileSync(join(await a.mount('v', 'three'), 'data'), 'utf8')).toBe('from a, from b');
  });

  it('gives the disk of a host without power to another one, with all that was acknowledged', async () => {
    const { a, b } = world;
    await a.create('v');
    const onA = await a.mount('v', 'one');
    writeDurably(join(onA, 'data'), 'acknowledged');
    const device = loopsIn(world.dir)[0] ?? '';
    const began = Date.now();
    await a.killAll();
    powerOff(onA, device);
    const mounting = b.mount('v', 'two');
    await until('a copy ahead of the loss', () => copies().length > 0);
    const ahead = copies();
    expect(await b.status('v')).toMatchObject({ status: 'attached' });
    const onB = await mounting;
    expect(copies()).toEqual(ahead);
    expect(Date.now() - began).toBeLessThan(leaseMs + 3_000);
    expect(readFileSync(join(onB, 'data'), 'utf8')).toBe('acknowledged');
  });

  it('has what a host wrote that nobody hears of any more, also after its disk was copied ahead', async () => {
    const { a, b } = world;
    await a.create('v');
    const onA = await a.mount('v', 'one');
    writeDurably(join(onA, 'data'), 'before');
    const all = [a.guardPid, a.mainPid() ?? 0];
    for (const pid of all) process.kill(pid, 'SIGSTOP');
    const mounting = b.mount('v', 'two');
    await until('a copy ahead of the loss', () => copies().length > 0);
    const ahead = copies();
    writeDurably(join(onA, 'data'), ', acknowledged after it');
    const onB = await mounting;
    expect(copies()).not.toEqual(ahead);
    expect(readFileSync(join(onB, 'data'), 'utf8')).toBe('before, acknowledged after it');
    for (const pid of all) process.kill(pid, 'SIGCONT');
    await until('the old mount to go', () => !mountsIn(world.dir).includes(onA));
  });

  it('hears in the datastore that a host without contact has let go, and gives the disk on where it is before the lease ends', async () => {
    const { a, b, etcd } = world;
    const [member = ''] = etcd.addresses;
    const ways = await Promise.all([startTcpProxy(member), startTcpProxy(`127.0.0.1:${world.servicePort}`)]);
    try {
      await a.terminate();
      const [toEtcd = '', toService = ''] = ways.map(({ address }) => address.split(':')[1]);
      await a.start({
        VFILE_ETCD_CLIENT_PORT: toEtcd,
        VDVS_SERVICE_PORT: toService,
        // It lets go seconds before its lease has run out.
        VDVS_LEASE_MS: '10000',
        VDVS_FENCE_MARGIN_MS: '5000',
      });
      await a.create('v');
      const onA = await a.mount('v', 'one');
      writeDurably(join(onA, 'data'), 'acknowledged');
      for (const way of ways) {
        way.holdQuestions();
        way.holdAnswers();
      }
      const onB = await b.mount('v', 'two');
      expect(a.log()).toContain('said in the datastore that the disk is let go of');
      const id = { datastore: 'default', name: 'v' };
      const record = volumeRecordSchema.parse((await world.store.get(vdvsKeys.volume(id)))?.value);
      // Nobody but a service that has read the note can have said so.
      expect([record.releasedEpoch, record.epoch, record.extent]).toEqual([1, 2, undefined]);
      expect(readFileSync(join(onB, 'data'), 'utf8')).toBe('acknowledged');
      writeDurably(join(onB, 'data'), ', and more');
    } finally {
      await Promise.all(ways.map((way) => way.stop()));
    }
  });

  it('shuts file systems down before the lease can have run out, and serves again later', async () => {
    const { a } = world;
    await a.create('v');
    const path = await a.mount('v', 'one');
    writeDurably(join(path, 'data'), 'acknowledged');
    const inside = openSync(join(path, 'data'), 'a');
    const cut = Date.now();
    try {
      await world.etcd.members[0]?.freeze();
      await until('writes to fail', () => {
        try {
          writeSync(inside, '.');
          fsyncSync(inside);
          return false;
        } catch (thrown) {
          return String(thrown).includes('EIO');
        }
      });
      expect(Date.now() - cut).toBeLessThan(leaseMs);
    } finally {
      closeSync(inside);
      world.etcd.members[0]?.thaw();
    }
    const again = await a.mount('v', 'two');
    expect(readFileSync(join(again, 'data'), 'utf8')).toMatch(/^acknowledged\.*$/);
    await a.unmount('v', 'one');
    await a.unmount('v', 'two');
    await nothingLeft();
  });

  it('shuts file systems down first when a frozen guard goes on after its lease', async () => {
    const { a, b } = world;
    await a.create('v');
    const onA = await a.mount('v', 'one');
    writeDurably(join(onA, 'data'), 'from a');
    a.signalGuard('SIGSTOP');
    await untilDetached();
    a.signalGuard('SIGCONT');
    await until('the old mount to go', () => !mountsIn(world.dir).includes(onA));
    const onB = await b.mount('v', 'two');
    expect(readFileSync(join(onB, 'data'), 'utf8')).toBe('from a');
    await b.unmount('v', 'two');
    await a.mount('v', 'three');
  });

  const checks = { ext4: ['e2fsck', '-fn'], xfs: ['xfs_repair', '-n'] } as const;

  it.each(['ext4', 'xfs'] as const)(
    '%s: what a frozen host still writes is not on the disk of the next one',
    async (fstype) => {
      const { a, b } = world;
      await a.create('v', { size: '320mb', fstype });
      const onA = await a.mount('v', 'one');
      for (let number = 0; number < 50; number += 1) writeDurably(join(onA, `a-${number}`), 'from a');
      const main = a.mainPid() ?? 0;
      const all = (signal: NodeJS.Signals) => {
        for (const pid of [a.guardPid, main]) process.kill(pid, signal);
      };
      all('SIGSTOP');
      await untilDetached();
      const onB = await b.mount('v', 'two');
      for (let number = 0; number < 50; number += 1) {
        writeDurably(join(onB, `b-${number}`), 'from b');
        // What the thawed kernel of the first host does before anybody can stop it.
        writeDurably(join(onA, `late-${number}`), 'late');
      }
      all('SIGCONT');
      await until('the old mount to go', () => !mountsIn(world.dir).includes(onA));
      await b.unmount('v', 'two');
      await until('the devices to go', () => loopsIn(world.dir).length === 0);
      const [extent, ...more] = readdirSync(world.datastore).filter((name) => name.endsWith('-flat.vmdk'));
      expect(more).toEqual([]);
      const [tool, option] = checks[fstype];
      execFileSync(tool, [option, join(world.datastore, extent ?? '')], { stdio: 'pipe' });
      const wanted = ['a', 'b'].flatMap((who) =>
        Array.from({ length: 50 }, (_, number) => `${who}-${number}`),
      );
      expect(listing(await a.mount('v', 'three')).sort()).toEqual(wanted.sort());
      await a.unmount('v', 'three');
      expect(await a.call('Remove', { Name: 'v' })).toMatchObject({ Err: '' });
      expect(readdirSync(world.datastore)).toEqual([]);
    },
  );

  it('clears away what is left of a disk whose file is gone when the plugin starts again after another has it', async () => {
    const { a, b } = world;
    await a.create('v');
    const onA = await a.mount('v', 'one');
    writeDurably(join(onA, 'data'), 'from a');
    const [left] = loopsIn(world.dir);
    await a.killAll();
    await untilDetached();
    const onB = await b.mount('v', 'two');
    writeDurably(join(onB, 'data'), ', from b');
    writeDurably(join(onA, 'data'), ', late');
    expect(readFileSync(`/sys/block/${basename(left ?? '')}/loop/backing_file`, 'utf8')).toContain(
      '(deleted)',
    );
    await a.start();
    await until('the old device to go', () => !loopsIn(world.dir).includes(left ?? ''));
    expect(mountsIn(world.dir)).toEqual([onB]);
    await b.unmount('v', 'two');
    expect(readFileSync(join(await a.mount('v', 'three'), 'data'), 'utf8')).toBe('from a, from b');
    await a.unmount('v', 'three');
    await nothingLeft();
    await a.call('Remove', { Name: 'v' });
    expect(listing(world.datastore)).toEqual([]);
  });
});
