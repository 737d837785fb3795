import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { run } from '../../../src/lib/exec.ts';
import { silentLog } from '../../../src/lib/log.ts';
import type { Grant } from '../../../src/vdvs/api.ts';
import { createFence } from '../../../src/vdvs/guard/fence.ts';
import { type BlockVolumes, createBlockVolumes } from '../../../src/vdvs/node/block-volumes.ts';
import { createFilesystems } from '../../../src/vdvs/node/filesystems.ts';
import type { Guard } from '../../../src/vdvs/node/guard-port.ts';
import { createLoopDevices } from '../../../src/vdvs/node/loop-devices.ts';
import { parseBlockOptions } from '../../../src/vdvs/options.ts';
import type { ServiceClient } from '../../../src/vdvs/service-client.ts';
import { clearHost, loopsIn, mountsIn } from './clear-host.ts';
import { listing } from './world.ts';

const id = { datastore: 'ds', name: 'v' };
const never = new AbortController().signal;

describe('one disk on one host, with real loop devices and file systems', () => {
  let dir: string;
  let folder: string;
  let record: Grant['record'];
  let clean: boolean;
  /** What happens next at these steps: a failure instead of the step, or after it. */
  let failBefore: string | undefined;
  let failAfter: string | undefined;
  let volumes: BlockVolumes;

  const step = async <T>(name: string, act: () => Promise<T>): Promise<T> => {
    const crash = (when: string) => new VolumeError('internal', `crashed ${when} ${name}`);
    if (failBefore === name) throw crash('before');
    const result = await act();
    if (failAfter === name) throw crash('after');
    return result;
  };

  /** A record of a new volume with an empty disk. */
  const newVolume = (options: Record<string, string>) => {
    record = {
      ...{ v: 1, ...id, disk: 'v.vmdk', fsUuid: randomUUID(), createdAt: '', createdBy: '', phase: 'ready' },
      options: parseBlockOptions(options),
      ...{ epoch: 1, formatted: false, releasedEpoch: 0, cleanEpoch: 0 },
    };
    writeFileSync(join(folder, 'v-flat.vmdk'), '');
    truncateSync(join(folder, 'v-flat.vmdk'), record.options.sizeBytes);
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'vdvs-disk-'));
    folder = join(dir, 'ds');
    mkdirSync(folder);
    clean = true;
    failBefore = undefined;
    failAfter = undefined;
    const fence = createFence();
    const guard: Guard = {
      lease: async () => '1',
      protect: () => step('protect', async () => undefined),
      release: async () => undefined,
      shutdown: fence.shutdown,
      onFenced: () => undefined,
    };
    const absent = async () => Promise.reject(new VolumeError('unavailable', 'not here'));
    const client: ServiceClient = {
      self: absent,
      create: absent,
      get: absent,
      list: absent,
      remove: absent,
      attach: async () => ({
        record,
        epoch: 1,
        clean,
        location: { kind: 'folder-file', datastore: 'ds', file: 'v-flat.vmdk' },
      }),
      detach: async (_id, _epoch, wasClean) => {
        clean = wasClean;
      },
      formatted: () =>
        step('formatted', async () => {
          record = { ...record, formatted: true };
        }),
    };
    const real = createFilesystems({ run, mountOptions: { xfs: 'nouuid', ext4: 'errors=remount-ro' } });
    volumes = createBlockVolumes({
      client,
      guard,
      loops: createLoopDevices({ run, clock: systemClock }),
      filesystems: {
        ...real,
        make: (...args) => step('make', () => real.make(...args)),
        mount: (...args) => step('mount', () => real.mount(...args)),
      },
      mountRoot: join(dir, 'mnt'),
      datastores: new Map([['ds', folder]]),
      onUncertain: () => undefined,
      clock: systemClock,
      log: silentLog,
    });
  });
  afterEach(() => {
    clearHost(dir);
    rmSync(dir, { recursive: true, force: true });
  });

  const open = () => volumes.open(id, 0, never);
  const nothingLeft = () => {
    expect(mountsIn(dir)).toEqual([]);
    expect(loopsIn(dir)).toEqual([]);
  };

  it.each([
    ['before', 'make'],
    ['after', 'make'],
    ['before', 'protect'],
    ['before', 'mount'],
    ['after', 'mount'],
    ['before', 'formatted'],
    ['after', 'formatted'],
  ])('a first mount that fails %s "%s" leaves nothing open, and the next one works', async (when, name) => {
    for (const fstype of ['ext4', 'xfs']) {
      newVolume({ fstype, mode: '0700' });
      if (when === 'before') failBefore = name;
      else failAfter = name;
      await expect(open()).rejects.toThrow(`volume v@ds: crashed ${when} ${name}`);
      nothingLeft();
      failBefore = undefined;
      failAfter = undefined;
      const mount = await open();
      expect(listing(mount.mountpoint)).toEqual([]);
      writeFileSync(join(mount.mountpoint, 'data'), fstype);
      await volumes.close(mount);
      nothingLeft();
      const again = await open();
      expect(readFileSync(join(again.mountpoint, 'data'), 'utf8')).toBe(fstype);
      await volumes.close(again);
    }
  });

  it('never makes a file system again that was mounted, even if nobody remembers', async () => {
    newVolume({});
    const mount = await open();
    writeFileSync(join(mount.mountpoint, 'data'), 'precious');
    await volumes.close(mount);
    record = { ...record, formatted: false };
    const again = await open();
    expect(readFileSync(join(again.mountpoint, 'data'), 'utf8')).toBe('precious');
    await volumes.close(again);
  });

  it('leaves a disk alone that holds something else', async () => {
    newVolume({});
    execFileSync('mkfs.ext4', ['-q', '-F', join(folder, 'v-flat.vmdk')]);
    await expect(open()).rejects.toThrow('was not made for this volume; it was left alone');
    nothingLeft();
  });

  it('repairs what an unclean end left, and says so by an unclean detach', async () => {
    newVolume({});
    const mount = await open();
    writeFileSync(join(mount.mountpoint, 'data'), 'synced');
    execFileSync('sync', ['-f', mount.mountpoint]);
    await volumes.abandon(mount);
    nothingLeft();
    expect(clean).toBe(false);
    const again = await open();
    expect(readFileSync(join(again.mountpoint, 'data'), 'utf8')).toBe('synced');
    await volumes.close(again);
    expect(clean).toBe(true);
    execFileSync('e2fsck', ['-fn', join(folder, 'v-flat.vmdk')], { stdio: 'pipe' });
  });

  it('works in a folder that is mounted sync, without direct I/O', async () => {
    const image = join(dir, 'datastore.img');
    writeFileSync(image, '');
    truncateSync(image, 200 * 2 ** 20);
    execFileSync('mkfs.ext4', ['-q', image]);
    execFileSync('mount', ['-o', 'loop,sync', image, folder]);
    newVolume({});
    const mount = await open();
    const dio = readFileSync(`/sys/block/${mount.device.replace('/dev/', '')}/loop/dio`, 'utf8').trim();
    expect(dio).toBe('0');
    writeFileSync(join(mount.mountpoint, 'data'), 'x');
    await volumes.close(mount);
  });

  it('refuses a folder in which writes could stay in this host', async () => {
    execFileSync('mount', ['-t', 'ramfs', 'ramfs', folder]);
    newVolume({});
    await expect(open()).rejects.toThrow('mount the datastore with the option sync');
    expect(loopsIn(dir)).toEqual([]);
  });

  it('says so when the disk is not there', async () => {
    newVolume({});
    rmSync(join(folder, 'v-flat.vmdk'));
    await expect(open()).rejects.toThrow('is the datastore mounted on this host?');
  });
});
