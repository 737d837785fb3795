import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { run } from '../../../src/lib/exec.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { parseMountinfo } from '../../../src/lib/mountinfo.ts';
import type { Grant } from '../../../src/vdvs/api.ts';
import type { GrowClient } from '../../../src/vdvs/disk-clients.ts';
import { createFence } from '../../../src/vdvs/guard/fence.ts';
import { type BlockVolumes, createBlockVolumes } from '../../../src/vdvs/node/block-volumes.ts';
import { createFilesystems, type Filesystems } from '../../../src/vdvs/node/filesystems.ts';
import { createGrants } from '../../../src/vdvs/node/grants.ts';
import { createGrowMount, type GrowMount } from '../../../src/vdvs/node/grow.ts';
import type { Guard } from '../../../src/vdvs/node/guard-port.ts';
import { createLoopDevices } from '../../../src/vdvs/node/loop-devices.ts';
import { createReleaseNotes } from '../../../src/vdvs/node/release-notes.ts';
import { parseSuperblock } from '../../../src/vdvs/node/superblock.ts';
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
  let epoch: number;
  /** What happens next at these steps: a failure instead of the step, or after it. */
  let failBefore: string | undefined;
  let failAfter: string | undefined;
  let volumes: BlockVolumes;
  let grow: GrowMount;

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
    epoch = 0;
    failBefore = undefined;
    failAfter = undefined;
    const fence = createFence({ run });
    const guard: Guard = {
      lease: async () => '1',
      lossOf: () => new AbortController().signal,
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
      attachOnce: absent,
      attach: async () => ({
        record,
        epoch: ++epoch,
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
    const filesystems: Filesystems = {
      ...real,
      make: (...args) => step('make', () => real.make(...args)),
      giveUuid: (...args) => step('giveUuid', () => real.giveUuid(...args)),
      grow: (...args) => step('grow', () => real.grow(...args)),
      mount: (...args) => step('mount', () => real.mount(...args)),
    };
    const loops = createLoopDevices({ run, clock: systemClock });
    const grown: GrowClient = {
      tasks: async () => [],
      grown: async (_id, _epoch, sizeBytes) => {
        if (sizeBytes === record.options.sizeBytes) record = { ...record, growing: false };
      },
    };
    grow = createGrowMount({ loops, filesystems, client: grown, log: silentLog });
    volumes = createBlockVolumes({
      client,
      grants: createGrants({ client, onUncertain: () => undefined, log: silentLog }),
      readMounts: async () => parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')),
      guard,
      loops,
      filesystems,
      releaseNotes: createReleaseNotes({ run, log: silentLog }),
      grow,
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

  const superblock = () => parseSuperblock(readFileSync(join(folder, 'v-flat.vmdk')).subarray(0, 4096));

  it.each([
    ['before', 'giveUuid'],
    ['after', 'giveUuid'],
    ['before', 'mount'],
    ['after', 'formatted'],
  ])('a copy whose first mount fails %s "%s" keeps its content and gets its own UUID', async (when, name) => {
    for (const fstype of ['ext4', 'xfs']) {
      newVolume({ fstype });
      const source = await open();
      writeFileSync(join(source.mountpoint, 'data'), fstype);
      chmodSync(source.mountpoint, 0o711);
      execFileSync('sync', ['-f', source.mountpoint]);
      // With a log that is still to be replayed.
      await volumes.abandon(source);
      record = { ...record, fsUuid: randomUUID(), inherits: [record.fsUuid], formatted: false };
      if (when === 'before') failBefore = name;
      else failAfter = name;
      await expect(open()).rejects.toThrow(`crashed ${when} ${name}`);
      nothingLeft();
      failBefore = undefined;
      failAfter = undefined;
      const copy = await open();
      expect(readFileSync(join(copy.mountpoint, 'data'), 'utf8')).toBe(fstype);
      expect(statSync(copy.mountpoint).mode & 0o7777).toBe(0o711);
      await volumes.close(copy);
      expect(superblock()).toMatchObject({ fstype, uuid: record.fsUuid });
      nothingLeft();
    }
  });

  it('never makes a file system on a copy, whatever its disk holds', async () => {
    newVolume({});
    record = { ...record, inherits: [randomUUID()] };
    await expect(open()).rejects.toThrow('does not hold the file system that it is a copy of');
    execFileSync('mkfs.ext4', ['-q', '-F', join(folder, 'v-flat.vmdk')]);
    await expect(open()).rejects.toThrow('does not hold the file system that it is a copy of');
    nothingLeft();
  });

  const enlarge = (sizeBytes: number) => {
    record = { ...record, growing: true, options: { ...record.options, sizeBytes } };
    truncateSync(join(folder, 'v-flat.vmdk'), sizeBytes);
  };
  const sizeOf = (path: string) => {
    const { blocks, bsize } = statfsSync(path);
    return blocks * bsize;
  };
  const mb = 2 ** 20;

  it('xfs grows while it is in use, or else with the next mount', async () => {
    newVolume({ fstype: 'xfs', size: '320mb' });
    const mount = await open();
    writeFileSync(join(mount.mountpoint, 'data'), 'x');
    enlarge(600 * mb);
    failBefore = 'grow';
    await expect(grow(mount, 600 * mb)).rejects.toThrow('crashed before grow');
    failBefore = undefined;
    await grow(mount, 600 * mb);
    await grow(mount, 600 * mb);
    expect(record.growing).toBe(false);
    expect(sizeOf(mount.mountpoint)).toBeGreaterThan(500 * mb);
    await volumes.close(mount);
    enlarge(900 * mb);
    const again = await open();
    expect(record.growing).toBe(false);
    expect(sizeOf(again.mountpoint)).toBeGreaterThan(800 * mb);
    expect(listing(again.mountpoint)).toEqual(['data']);
    await volumes.close(again);
    execFileSync('xfs_repair', ['-n', join(folder, 'v-flat.vmdk')], { stdio: 'pipe' });
  });

  it('ext4 grows where this process may do that, and else is used in the size that it has', async () => {
    newVolume({ size: '100mb' });
    const mount = await open();
    enlarge(300 * mb);
    const capabilities = BigInt(
      `0x${/CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`,
    );
    // CAP_SYS_RESOURCE, which the plugin has, is not given to all containers in which tests run.
    const may = (capabilities & (1n << 24n)) !== 0n;
    const outcome = await grow(mount, 300 * mb).then(
      () => 'grown',
      (thrown) => String(thrown),
    );
    expect(outcome).toMatch(may ? 'grown' : 'Permission denied to resize filesystem');
    expect(sizeOf(mount.mountpoint) > 250 * mb).toBe(may);
    await volumes.close(mount);
    const again = await open();
    writeFileSync(join(again.mountpoint, 'data'), 'x');
    expect(record.growing).toBe(!may);
    await volumes.close(again);
    execFileSync('e2fsck', ['-fn', join(folder, 'v-flat.vmdk')], { stdio: 'pipe' });
  });

  it('is used in its old size while its file system cannot be grown, and grown when it is read-only', async () => {
    newVolume({ access: 'read-only', fstype: 'xfs' });
    await volumes.close(await open());
    enlarge(500 * mb);
    failBefore = 'grow';
    const small = await open();
    expect(sizeOf(small.mountpoint)).toBeLessThan(300 * mb);
    failBefore = undefined;
    await expect(grow(small, 500 * mb)).rejects.toThrow('grows with the next mount');
    await volumes.close(small);
    const large = await open();
    expect(sizeOf(large.mountpoint)).toBeGreaterThan(400 * mb);
    expect(() => writeFileSync(join(large.mountpoint, 'x'), '')).toThrow('read-only file system');
    await volumes.close(large);
  });

  it('leaves a disk alone that holds something else', async () => {
    newVolume({});
    execFileSync('mkfs.ext4', ['-q', '-F', join(folder, 'v-flat.vmdk')]);
    await expect(open()).rejects.toThrow('was not made for this volume; it was left alone');
    nothingLeft();
  });

  /** A volume whose last use ended uncleanly, with its journal still to be replayed. */
  const endUncleanly = async () => {
    newVolume({});
    const mount = await open();
    writeFileSync(join(mount.mountpoint, 'data'), 'synced');
    execFileSync('sync', ['-f', mount.mountpoint]);
    await volumes.abandon(mount);
  };
  /** The next use of it. */
  const useAgain = async () => {
    const again = await open();
    expect(readFileSync(join(again.mountpoint, 'data'), 'utf8')).toBe('synced');
    await volumes.close(again);
  };

  it('repairs what an unclean end left, and says so by an unclean detach', async () => {
    await endUncleanly();
    nothingLeft();
    expect(clean).toBe(false);
    await useAgain();
    expect(clean).toBe(true);
    execFileSync('e2fsck', ['-fn', join(folder, 'v-flat.vmdk')], { stdio: 'pipe' });
  });

  it('checks a file system in which the kernel has noted an error, before it is used again', async () => {
    await endUncleanly();
    execFileSync('tune2fs', ['-E', 'force_fsck', join(folder, 'v-flat.vmdk')], { stdio: 'pipe' });
    expect(superblock()?.sound).toBe(false);
    await useAgain();
    expect(superblock()?.sound).toBe(true);
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
