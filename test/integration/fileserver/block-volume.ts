import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { placeholderName } from '../../../src/fileserver/attachment.ts';
import { run } from '../../../src/lib/exec.ts';
import { detach } from '../vdvs/detach.ts';

/** A small block volume: a file, a loop device, a mounted file system. */
export interface BlockVolume {
  /** Where it is mounted. */
  readonly root: string;
  /** The loop device's file. */
  readonly image: string;
  readonly device: string;
  /** What the disk holds at this moment, as after a power cut: mounted from a copy, its journal replayed. */
  afterPowerCut<T>(look: (root: string) => Promise<T>): Promise<T>;
  /** Takes the disk away from `root`; what is left there is vDVS's placeholder. */
  takeAway(): Promise<void>;
  /** Mounts the disk on top of the placeholder. */
  arrive(): Promise<void>;
  remove(): Promise<void>;
}

const timeoutMs = 30_000;

async function attach(image: string): Promise<string> {
  return (await run('losetup', ['--find', '--show', image], { timeoutMs })).stdout.trim();
}

/** Makes and mounts one. Needs root. */
export async function createBlockVolume(fsType: 'ext4' | 'xfs', sizeMb = 320): Promise<BlockVolume> {
  const dir = await mkdtemp(join(tmpdir(), 'vfile-volume-'));
  const image = join(dir, 'disk.img');
  const root = join(dir, 'mnt');
  await mkdir(root);
  await run('truncate', ['-s', `${sizeMb}M`, image], { timeoutMs });
  await run(`mkfs.${fsType}`, fsType === 'ext4' ? ['-q', '-F', image] : ['-q', image], { timeoutMs });
  const device = await attach(image);
  // As vDVS mounts it.
  const options = fsType === 'xfs' ? ['-o', 'wsync'] : [];
  // Below it lies what a container sees while another host has the disk.
  await run('mount', ['-t', 'tmpfs', 'none', root], { timeoutMs });
  await writeFile(join(root, placeholderName), '');
  await run('mount', ['-o', 'remount,ro', root], { timeoutMs });
  // What is mounted there later is seen by who waits for it in a mount namespace of its own.
  await run('mount', ['--make-shared', root], { timeoutMs });
  const arrive = async () => {
    await run('mount', ['-t', fsType, ...options, device, root], { timeoutMs });
  };
  await arrive();
  return {
    root,
    image,
    device,
    afterPowerCut: async (look) => {
      const copy = join(dir, 'copy.img');
      const at = join(dir, 'copy');
      await copyFile(image, copy);
      await mkdir(at, { recursive: true });
      const second = await attach(copy);
      try {
        await run('mount', ['-t', fsType, ...(fsType === 'xfs' ? ['-o', 'nouuid'] : []), second, at], {
          timeoutMs,
        });
        try {
          return await look(at);
        } finally {
          await run('umount', [at], { timeoutMs });
        }
      } finally {
        detach(second, copy);
        await rm(copy);
      }
    },
    // As vDVS does it: at once, whoever still has something open there.
    takeAway: async () => {
      await run('umount', ['--lazy', root], { timeoutMs });
    },
    arrive,
    remove: async () => {
      for (const _mount of ['disk', 'placeholder']) {
        await run('umount', [root], { timeoutMs, okCodes: [0, 1, 32] });
      }
      detach(device, image);
      await rm(dir, { recursive: true, force: true });
    },
  };
}
