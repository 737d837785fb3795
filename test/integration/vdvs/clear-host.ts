import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { type MountEntry, parseMountinfo } from '../../../src/lib/mountinfo.ts';
import { mountRootSource } from '../../../src/plugin/mount-root.ts';
import { mountsBelow } from '../../../src/vdvs/node/mountinfo.ts';

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
    .filter((name) => {
      try {
        return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').startsWith(`${folder}/`);
      } catch {
        return false;
      }
    })
    .map((name) => `/dev/${name}`);
}

/** Takes away all mounts and loop devices below a folder. */
export function clearHost(folder: string): void {
  for (const { mountPoint } of entriesIn(folder).reverse()) execFileSync('umount', ['-l', mountPoint]);
  for (const loop of loopsIn(folder)) {
    try {
      // One that goes by itself may have gone, and its number be that of another test's disk.
      const autoclear = readFileSync(loop.replace('/dev/', '/sys/block/').concat('/loop/autoclear'), 'utf8');
      if (autoclear.trim() === '1' || !loopsIn(folder).includes(loop)) continue;
      execFileSync('losetup', ['-d', loop], { stdio: 'pipe' });
    } catch {
      // It went away with its mount.
    }
  }
}
