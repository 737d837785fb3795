import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, rm, statfs, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DatastoreBackend, Disk } from '../../src/vdvs/backends/backend.ts';
import { createFolderBackend } from '../../src/vdvs/backends/folder/folder-backend.ts';
import { releaseNoteFile } from '../../src/vdvs/backends/folder/release-notes.ts';
import { parseBlockOptions } from '../../src/vdvs/options.ts';
import { type BackendUnderTest, backendContract } from './backend.contract.ts';

/** A backend on an empty folder; `leaveBehindMs` 0 where blocks can be shared. */
async function folderUnderTest(
  path: string,
  leaveBehindMs: number,
  end: () => void,
): Promise<BackendUnderTest> {
  const backend = createFolderBackend({ datastore: 'ds', path, leaveBehindMs });
  const extent = async (disk: Disk, flags: string) => {
    const location = await backend.attach(disk, 'node', 1);
    return await open(join(path, location.file), flags);
  };
  return {
    backend,
    other: createFolderBackend({ datastore: 'ds', path, leaveBehindMs }),
    async read(disk, offset, length) {
      const file = await extent(disk, 'r');
      try {
        return (await file.read(Buffer.alloc(length), 0, length, offset)).buffer;
      } finally {
        await file.close();
      }
    },
    async write(disk, offset, bytes) {
      const file = await extent(disk, 'r+');
      try {
        await file.write(bytes, 0, bytes.length, offset);
      } finally {
        await file.close();
      }
    },
    release: (disk, epoch) => writeFile(join(path, releaseNoteFile(disk, epoch)), ''),
    contents: () => readdir(path),
    breakDatastore: () => rm(path, { recursive: true }),
    async end() {
      await rm(path, { recursive: true, force: true });
      end();
    },
  };
}

backendContract('datastore folder', async () => {
  const path = await mkdtemp(join(tmpdir(), 'folder-backend-'));
  return await folderUnderTest(path, 10_000, () => undefined);
});

backendContract('datastore folder that shares blocks', async () => {
  const root = await mkdtemp(join(tmpdir(), 'folder-backend-'));
  const mountPoint = join(root, 'xfs');
  await mkdir(mountPoint);
  execFileSync('truncate', ['-s', '400M', join(root, 'image')]);
  execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', join(root, 'image')]);
  execFileSync('mount', ['-o', 'loop', join(root, 'image'), mountPoint]);
  const path = join(mountPoint, 'ds');
  await mkdir(path);
  return await folderUnderTest(path, 0, () => {
    execFileSync('umount', [mountPoint]);
    rmSync(root, { recursive: true });
  });
});

it('a disk in a folder is a VMDK that qemu-img reads', async () => {
  const path = await mkdtemp(join(tmpdir(), 'folder-backend-'));
  try {
    const backend = createFolderBackend({ datastore: 'ds', path });
    const disk: Disk = {
      id: { datastore: 'ds', name: 'a' },
      disk: backend.diskPath('a'),
      uuid: randomUUID(),
      sizeBytes: 64 * 2 ** 20,
      diskformat: 'thin',
    };
    await backend.create(disk);
    expect((await readdir(path)).sort()).toEqual(['a-flat.vmdk', 'a.vmdk']);
    const info = JSON.parse(
      execFileSync('qemu-img', ['info', '--output=json', join(path, 'a.vmdk')], { encoding: 'utf8' }),
    ) as unknown;
    expect(info).toMatchObject({ format: 'vmdk', 'virtual-size': 64 * 2 ** 20 });
    execFileSync('qemu-img', ['check', join(path, 'a.vmdk')], { stdio: 'pipe' });
    await backend.grow({ ...disk, sizeBytes: 96 * 2 ** 20 });
    const grown = execFileSync('qemu-img', ['info', '--output=json', join(path, 'a.vmdk')], {
      encoding: 'utf8',
    });
    expect(JSON.parse(grown)).toMatchObject({ 'virtual-size': 96 * 2 ** 20 });
  } finally {
    await rm(path, { recursive: true });
  }
});

it('a datastore folder refuses what it cannot do', () => {
  const backend = createFolderBackend({ datastore: 'ds', path: '/nowhere' });
  expect(backend.unsupported(parseBlockOptions({ policy: 'gold' }))).toContain('storage policy "gold"');
});

describe('files in a datastore folder', () => {
  let path: string;
  let backend: DatastoreBackend;
  const disk = (name: string, uuid = randomUUID()): Disk => ({
    id: { datastore: 'ds', name },
    disk: backend.diskPath(name),
    uuid,
    sizeBytes: 2 ** 20,
    diskformat: 'thin',
  });
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'folder-backend-'));
    backend = createFolderBackend({ datastore: 'ds', path });
  });
  afterEach(() => rm(path, { recursive: true }));

  it('never collide, whatever volumes are called', async () => {
    for (const name of ['a', 'a-flat', 'a-flat-flat', 'a.vmdk', 'a.vdvs']) {
      await backend.create(disk(name));
      await backend.describe({ ...disk(name), uuid: (await found(name)).uuid }, { v: 1 });
    }
    expect((await backend.contents()).disks).toHaveLength(5);
    expect((await backend.contents()).strange).toEqual([]);
  });

  const found = async (name: string) => {
    const one = (await backend.contents()).disks.find((each) => each.disk === backend.diskPath(name));
    if (!one) throw new Error(`no disk of ${name}`);
    return one;
  };

  it('are shared by a clone where the file system can do that, and copied with their holes where it cannot', async () => {
    const image = `${path}.img`;
    const folder = `${path}/reflink`;
    try {
      await writeFile(image, '');
      await truncate(image, 400 * 2 ** 20);
      execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', image]);
      await mkdir(folder);
      execFileSync('mount', ['-o', 'loop', image, folder]);
      const sharing = createFolderBackend({ datastore: 'ds', path: folder });
      const source = { ...disk('a'), sizeBytes: 200 * 2 ** 20 };
      await sharing.create(source);
      await writeFile(join(folder, 'a-flat.vmdk'), Buffer.alloc(64 * 2 ** 20, 7), { flag: 'r+' });
      const before = (await statfs(folder)).bavail;
      for (const name of ['b', 'c', 'd', 'e', 'f', 'g']) {
        await sharing.copy(
          { ...source, ...disk(name), sizeBytes: source.sizeBytes },
          await sharing.source(source),
        );
      }
      // Six copies of 64 MB would not fit.
      expect((before - (await statfs(folder)).bavail) * 4096).toBeLessThan(16 * 2 ** 20);
      execFileSync('cmp', [join(folder, 'a-flat.vmdk'), join(folder, 'g-flat.vmdk')]);
    } finally {
      execFileSync('sh', ['-c', `mountpoint -q ${folder} && umount ${folder}; rm -f ${image}`]);
    }
  });

  it('that were left half made are deleted after an hour, not before, and nothing else is', async () => {
    await backend.create(disk('a'));
    for (const name of ['.creating-old', '.creating-new', 'mine.txt']) await writeFile(join(path, name), 'x');
    const hourAgo = new Date(Date.now() - 61 * 60_000);
    for (const name of ['.creating-old', 'mine.txt']) await utimes(join(path, name), hourAgo, hourAgo);
    expect(await backend.sweep(async () => new Map())).toEqual(['.creating-old']);
    expect((await readdir(path)).sort()).toEqual(['.creating-new', 'a-flat.vmdk', 'a.vmdk', 'mine.txt']);
  });

  it('are not copied away from a lost holder for longer than allowed', async () => {
    const source = { ...disk('a'), diskformat: 'zeroedthick' as const };
    await backend.create(source);
    expect(await backend.leaveBehind?.(source, 1)).toBeUndefined();
    expect((await readdir(path)).sort()).toEqual(['a-flat.vmdk', 'a.vmdk']);
  });

  it('keep their names after a takeover: a newer volume of the same name is not swept with an older one', async () => {
    const first = disk('a');
    const sharing = createFolderBackend({ datastore: 'ds', path, leaveBehindMs: 5_000 });
    await sharing.create(first);
    const extent = await sharing.leaveBehind?.(first, 1);
    await sharing.attach({ ...first, extent }, 'node', 1);
    const second = disk('a');
    // The service stood still between what it read and what it does.
    const swept = await sharing.sweep(async () => {
      await sharing.remove({ ...first, extent });
      await sharing.create(second);
      return new Map([[first.disk, { epoch: 1, extent }]]);
    });
    expect(swept).toEqual([]);
    expect(await sharing.attach(second, 'node', 1)).toMatchObject({ file: 'a-flat.vmdk' });
  });

  it('are read by qemu-img after a takeover too', async () => {
    const sharing = createFolderBackend({ datastore: 'ds', path, leaveBehindMs: 5_000 });
    const source = disk('a-flat');
    await sharing.create(source);
    const extent = await sharing.leaveBehind?.(source, 1);
    expect(extent).toMatch(/^a-flat~~1-[0-9a-f-]{36}-flat\.vmdk$/);
    await sharing.attach({ ...source, extent }, 'node', 1);
    const info = execFileSync('qemu-img', ['info', '--output=json', join(path, source.disk)]);
    expect(JSON.parse(String(info))).toMatchObject({ format: 'vmdk', 'virtual-size': 2 ** 20 });
    expect((await readdir(path)).sort()).toEqual([source.disk, extent].sort());
  });

  it('that are no disks of ours are told as strange', async () => {
    await writeFile(join(path, 'x.vmdk'), '# Disk DescriptorFile\nRW 1 SPARSE "x-s001.vmdk"\n');
    await writeFile(join(path, 'y-flat.vmdk'), '');
    expect(await backend.contents()).toEqual({ disks: [], strange: ['x.vmdk', 'y-flat.vmdk'] });
  });
});
