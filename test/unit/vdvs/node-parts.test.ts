import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Run } from '../../../src/lib/exec.ts';
import { createKeyedQueue } from '../../../src/lib/keyed-queue.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { mountHolding, parseMountinfo } from '../../../src/lib/mountinfo.ts';
import { createFilesystems } from '../../../src/vdvs/node/filesystems.ts';
import { inspectStatus } from '../../../src/vdvs/node/inspect-status.ts';
import { addUse, endInherited, endUseOf, openMountTable } from '../../../src/vdvs/node/mount-table.ts';
import { diskAt, disksBelow, mountsBelow } from '../../../src/vdvs/node/mountinfo.ts';
import { decideFormat, parseSuperblock } from '../../../src/vdvs/node/superblock.ts';
import { readServiceSettings } from '../../../src/vdvs/service/settings.ts';
import { readPluginSettings } from '../../../src/vdvs/settings.ts';
import type { VolumeRecord } from '../../../src/vdvs/types.ts';

describe('the mount table of the kernel', () => {
  const entries = parseMountinfo(
    [
      '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw',
      '25 22 0:22 / /ds rw,relatime - hostfs none rw,sync,/lab/datastores',
      '36 22 7:1 / /mnt/a\\040b rw shared:2 master:1 - ext4 /dev/loop1 rw,errors=remount-ro',
      '37 22 0:40 / /stack/v ro - tmpfs vdvs-not-attached ro,size=64k,mode=555',
      '38 37 7:2 / /stack/v rw - ext4 /dev/loop2 rw',
      '39 22 0:41 / /stack/w ro - tmpfs vdvs-not-attached ro,size=64k,mode=555',
      '40 22 0:42 / /stack/x rw - tmpfs tmpfs rw',
      'nonsense',
    ].join('\n'),
  );

  it('is read with all its options', () => {
    expect(entries).toHaveLength(7);
    expect(entries[2]).toMatchObject({ mountPoint: '/mnt/a b', fstype: 'ext4', source: '/dev/loop1' });
    expect(entries[1]?.options).toContain('sync');
  });

  it('tells on which mount a path lies, and what lies below a folder', () => {
    expect(mountHolding(entries, '/ds/v.img')?.mountPoint).toBe('/ds');
    expect(mountHolding(entries, '/dsx/v.img')?.mountPoint).toBe('/');
    expect(mountsBelow(entries, '/mnt').map((entry) => entry.source)).toEqual(['/dev/loop1']);
    expect(mountsBelow(entries, '/mn')).toEqual([]);
  });

  it('tells placeholders from disks, also where one lies on the other', () => {
    expect(diskAt(entries, '/stack/v')?.source).toBe('/dev/loop2');
    expect(diskAt(entries, '/stack/w')).toBeUndefined();
    expect(diskAt(entries, '/stack/x')?.fstype).toBe('tmpfs');
    expect(diskAt(entries, '/stack')).toBeUndefined();
    expect(disksBelow(entries, '/stack').map((entry) => entry.source)).toEqual(['/dev/loop2', 'tmpfs']);
  });
});

describe('the decision to make a file system', () => {
  const uuid = '00112233-4455-6677-8899-aabbccddeeff';
  const raw = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  const ext4 = (mounts: number): Buffer => {
    const bytes = Buffer.alloc(4096);
    bytes.writeUInt16LE(0xef53, 1024 + 0x38);
    bytes.writeUInt16LE(mounts, 1024 + 0x34);
    raw.copy(bytes, 1024 + 0x68);
    return bytes;
  };
  const xfs = (inProgress: number): Buffer => {
    const bytes = Buffer.alloc(4096);
    bytes.write('XFSB');
    raw.copy(bytes, 32);
    bytes.writeUInt8(inProgress, 126);
    return bytes;
  };
  const other = Buffer.alloc(4096, 7);
  const decide = (bytes: Buffer, fstype: string, wanted = uuid) =>
    decideFormat(parseSuperblock(bytes), { fstype, uuid: wanted }).do;

  it.each([
    ['a blank disk', Buffer.alloc(4096), 'ext4', 'make'],
    ['ext4 that was never mounted', ext4(0), 'ext4', 'make'],
    ['ext4 that was mounted', ext4(1), 'ext4', 'keep'],
    ['a half-made xfs', xfs(1), 'xfs', 'make'],
    ['a complete xfs', xfs(0), 'xfs', 'keep'],
    ['another kind of file system', xfs(0), 'ext4', 'refuse'],
    ['something unknown', other, 'ext4', 'refuse'],
  ])('%s', (_what, bytes, fstype, decision) => {
    expect(decide(bytes, fstype)).toBe(decision);
  });

  it('a file system with another identity is never touched', () => {
    expect(decide(ext4(0), 'ext4', 'ffffffff-4455-6677-8899-aabbccddeeff')).toBe('refuse');
  });
});

describe('the check of a file system after an unclean end', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vdvs-check-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it.each([
    ['is left to its journal', { state: 0, features: 4 }, []],
    ['is made when the kernel has noted an error', { state: 2, features: 4 }, ['e2fsck']],
    ['is made when it has no journal', { state: 0, features: 0 }, ['e2fsck']],
  ])('%s', async (_what, { state, features }, programs) => {
    const bytes = Buffer.alloc(4096);
    bytes.writeUInt16LE(0xef53, 1024 + 0x38);
    bytes.writeUInt16LE(state, 1024 + 0x3a);
    bytes.writeUInt32LE(features, 1024 + 0x5c);
    const device = join(folder, 'disk');
    await writeFile(device, bytes);
    const started: string[] = [];
    const run: Run = async (program) => {
      started.push(program);
      return { exitCode: 0, stdout: '', stderr: '' };
    };
    await createFilesystems({ run, mountOptions: {} }).check(device, 'ext4', new AbortController().signal);
    expect(started).toEqual(programs);
  });
});

describe('the table of mounts', () => {
  const mount = {
    datastore: 'ds',
    name: 'v',
    epoch: 3,
    lease: '77',
    device: '/dev/loop7',
    mountpoint: '/mnt/ds/v',
    fstype: 'ext4',
    ids: { one: 2 },
    inherited: new Map<string, number>(),
  };

  it('keeps apart what an earlier process saw begin, also under an ID that is mounted again', () => {
    const use = { ...mount, ids: { one: 1, two: 2 }, inherited: new Map([['one', 1]]) };
    addUse(use, 'one');
    expect([use.ids.one, endUseOf(use, 'one'), use.ids.one]).toEqual([2, true, 1]);
    expect(use.inherited).toEqual(new Map([['one', 1]]));
    expect(endUseOf(use, 'none')).toBe(false);
    addUse(use, 'one');
    endInherited(use);
    expect([use.ids, use.inherited.size]).toEqual([{ one: 1, two: 2 }, 0]);
    expect([endUseOf(use, 'one'), endUseOf(use, 'one')]).toEqual([true, false]);
    const left = { ...mount, ids: { one: 2 }, inherited: new Map([['one', 2]]) };
    endUseOf(left, 'one');
    expect([left.ids, left.inherited.get('one')]).toEqual([{ one: 1 }, 1]);
    endUseOf(left, 'one');
    expect([left.ids, left.inherited.size]).toEqual([{}, 0]);
  });

  it('lasts over a restart of the process, not of the host', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'mount-table-'));
    try {
      const open = (bootId: string) =>
        openMountTable({ path: join(dir, 'state/mounts.json'), bootId, log: silentLog });
      await (await open('boot1')).put(mount);
      const again = await open('boot1');
      expect(again.get(mount)).toEqual({ ...mount, inherited: new Map([['one', 2]]) });
      const { datastore, mountpoint, ids } = mount;
      const waiting = { datastore, name: 'w', mountpoint, ids, inherited: new Map<string, number>() };
      await again.put(waiting);
      const third = await open('boot1');
      expect(third.use(waiting)).toEqual({ ...waiting, inherited: new Map([['one', 2]]) });
      expect([third.get(waiting), third.all().length, third.uses().length]).toEqual([undefined, 1, 2]);
      expect((await open('boot2')).all()).toEqual([]);
      await writeFile(join(dir, 'state/mounts.json'), '{"half');
      expect((await open('boot1')).all()).toEqual([]);
      await again.delete(mount);
      expect((await open('boot1')).all()).toEqual([]);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe('a queue by key', () => {
  it('runs one thing after another for a key, also after a failure, and others beside', async () => {
    const queue = createKeyedQueue();
    const order: string[] = [];
    const open = new AbortController();
    const gate = new Promise((resolve) => open.signal.addEventListener('abort', resolve));
    const first = queue.run('a', async () => {
      await gate;
      order.push('a1');
      throw new Error('no');
    });
    const second = queue.run('a', async () => void order.push('a2'));
    await queue.run('b', async () => void order.push('b'));
    open.abort();
    await expect(first).rejects.toThrow('no');
    await second;
    expect(order).toEqual(['b', 'a1', 'a2']);
  });
});

describe('settings', () => {
  it('have defaults, for texts that nobody set as well', () => {
    expect(readPluginSettings({ VDVS_LEASE_MS: '' })).toMatchObject({
      leaseMs: 6_000,
      defaultDatastore: 'default',
      datastores: new Map([['default', '/var/lib/vdvs/datastores/default']]),
      mountRoot: '/mnt/vdvs/volumes',
    });
    expect(readServiceSettings({})).toMatchObject({ servicePort: 8791, takeoverMarginMs: 500 });
  });

  it('name every problem at once', () => {
    expect(() =>
      readPluginSettings({ VDVS_LEASE_MS: '1', VDVS_DATASTORES: 'a', VDVS_LOG_LEVEL: 'loud' }),
    ).toThrow(/VDVS_DATASTORES="a".*VDVS_LOG_LEVEL="loud".*VDVS_LEASE_MS="1"/);
    expect(() => readPluginSettings({ VDVS_LEASE_MS: '4000', VDVS_FENCE_MARGIN_MS: '3000' })).toThrow('half');
  });

  it('take several datastores, the first being the default', () => {
    const settings = readPluginSettings({ VDVS_DATASTORES: 'fast=/ssd, slow=/hdd' });
    expect(settings.defaultDatastore).toBe('fast');
    expect([...settings.datastores.keys()]).toEqual(['fast', 'slow']);
  });
});

describe('inspect', () => {
  const record: VolumeRecord = {
    v: 1,
    name: 'v',
    datastore: 'ds',
    disk: 'v.vmdk',
    fsUuid: 'u',
    options: {
      sizeBytes: 2 ** 30,
      fstype: 'ext4',
      diskformat: 'thin',
      attachAs: 'persistent',
      access: 'read-only',
    },
    createdAt: '2026-01-01T00:00:00.000Z',
    createdBy: 'ann',
    phase: 'ready',
    epoch: 1,
    formatted: true,
    releasedEpoch: 0,
    cleanEpoch: 0,
  };

  it('shows the keys that users know', () => {
    const attached = { node: 'n', host: 'bob', epoch: 1, since: '2026-01-02T00:00:00.000Z' };
    expect(inspectStatus({ record, attached, allocatedBytes: 5 * 2 ** 20 })).toEqual({
      access: 'read-only',
      attach: 'at-once',
      'attach-as': 'persistent',
      capacity: { size: '1gb', allocated: '5mb' },
      'clone-from': 'None',
      created: '2026-01-01T00:00:00.000Z',
      'created by VM': 'ann',
      datastore: 'ds',
      diskformat: 'thin',
      fstype: 'ext4',
      status: 'attached',
      'attached to VM': 'bob',
      'attached since': '2026-01-02T00:00:00.000Z',
      'vsan-policy-name': 'None',
    });
    const deferred = { ...record, options: { ...record.options, attach: 'deferred' as const } };
    expect(inspectStatus({ record: deferred }, 'no lease')).toMatchObject({
      status: 'detached',
      attach: 'deferred',
      waiting: 'no lease',
    });
    expect(inspectStatus({ record })).toMatchObject({
      status: 'detached',
      capacity: { allocated: 'unknown' },
    });
  });
});
