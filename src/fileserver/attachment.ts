import { lstat, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findMount } from './prepare-volume.ts';

/**
 * What vDVS puts at the mount point of a container whose disk another host still has: a read-only file system with this
 * file. The disk is mounted on top of it as soon as it is free.
 */
export const placeholderName = '.vdvs-not-attached';

/**
 * Made in the root of the disk, it tells vDVS that this container has no more use for the disk: vDVS gives it to the next
 * host at once, and need not wait until Docker has taken this container apart, which takes a second and more.
 */
export const handOverName = '.vdvs-hand-over';

/**
 * Made in the root of the disk and kept open, it tells vDVS when this container has ended, however that came: the disk goes to
 * the next host at once, as with `handOverName`.
 */
export const inUseName = '.vdvs-in-use';

/** Made in the root of the disk, it tells vDVS that the end of `inUseName` means nothing: no other host needs the disk. */
export const keepName = '.vdvs-keep';

/**
 * Whether the disk is there. Base volumes of other drivers never have the file. Whatever else the look finds wrong is for
 * those to say who use the disk.
 */
export async function isAttached(exportRoot: string): Promise<boolean> {
  try {
    await lstat(join(exportRoot, placeholderName));
    return false;
  } catch {
    return true;
  }
}

/**
 * Whether the host has shut the file system down. A container that was started when the disk was there already goes on to see it
 * when the host unmounts it, and keeps it from being let go of until it ends.
 */
export async function isShutDown(exportRoot: string): Promise<boolean> {
  try {
    const root = await open(exportRoot, 'r');
    // What the kernel remembers of names and files can be looked at all the same; nothing can be written out.
    await root.sync().finally(() => root.close());
    return false;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EIO';
  }
}

/**
 * Whether a disk that the host mounts now appears in this container: it does when the mount at `exportRoot` receives
 * mounts from the host (`master:`, or `shared:` when it passes its own on as well).
 * @param mountInfoPath where the kernel lists mounts; tests give their own.
 */
export async function receivesMounts(
  exportRoot: string,
  mountInfoPath = '/proc/self/mountinfo',
): Promise<boolean> {
  const mount = findMount(await readFile(mountInfoPath, 'utf8'), exportRoot);
  return mount?.tags.some((tag) => /^(master|shared):/.test(tag)) ?? false;
}
