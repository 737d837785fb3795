import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { type MountEntry, parseMountinfo } from '../../../src/lib/mountinfo.ts';
import { mountRootSource } from '../../../src/plugin/mount-root.ts';
import { mountsBelow } from '../../../src/vdvs/node/mountinfo.ts';
import { detach, fileOf } from './detach.ts';

const entriesIn = (folder: string): MountEntry[] =>
  mountsBelow(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), folder);

/** Volumes mounted below a folder, as the kernel has them. */
export function mountsIn(folder: string): string[] {
  return entriesIn(folder)
    .filter(({ source }) => source !== mountRootSource)
    .map(({ mountPoint }) => mountPoint);
}

/** Loop devices whose file lies below a folder, deleted files included. */
export function loopsIn(folder: string): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .map((name) => `/dev/${name}`)
    .filter((device) => fileOf(device)?.startsWith(`${folder}/`));
}

/** Takes away all mounts and loop devices below a folder. */
export function clearHost(folder: string): void {
  for (const { mountPoint } of entriesIn(folder).reverse()) execFileSync('umount', ['-l', mountPoint]);
  for (const loop of loopsIn(folder)) {
    try {
      detach(loop, folder);
    } catch {
      // It went away with its mount.
    }
  }
}
