import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Disk } from '../../src/vdvs/backends/backend.ts';
import { createFolderBackend } from '../../src/vdvs/backends/folder/folder-backend.ts';
import { parseBlockOptions } from '../../src/vdvs/options.ts';
import { backendContract } from './backend.contract.ts';

backendContract('datastore folder', async () => {
  const path = await mkdtemp(join(tmpdir(), 'folder-backend-'));
  const backend = createFolderBackend({ datastore: 'ds', path });
  const extent = async (disk: Disk, flags: string) => {
    const location = await backend.attach(disk, 'node');
    return await open(join(path, location.file), flags);
  };
  return {
    backend,
    other: createFolderBackend({ datastore: 'ds', path }),
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
    contents: () => readdir(path),
    breakDatastore: () => rm(path, { recursive: true }),
    end: () => rm(path, { recursive: true, force: true }),
  };
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
  } finally {
    await rm(path, { recursive: true });
  }
});

it('a datastore folder refuses what it cannot do yet', () => {
  const backend = createFolderBackend({ datastore: 'ds', path: '/nowhere' });
  expect(backend.unsupported(parseBlockOptions({ 'clone-from': 'x' }))).toContain('clone-from');
  expect(backend.unsupported(parseBlockOptions({ policy: 'gold' }))).toContain('storage policy "gold"');
});
