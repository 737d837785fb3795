import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mountsBelow, parseMountinfo } from '../../../src/vdvs/node/mountinfo.ts';

/** Mounts below a folder, as the kernel has them. */
export function mountsIn(folder: string): string[] {
  const entries = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  return mountsBelow(entries, folder).map((entry) => entry.mountPoint);
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
  for (const mount of mountsIn(folder).reverse()) execFileSync('umount', ['-l', mount]);
  for (const loop of loopsIn(folder)) {
    try {
      execFileSync('losetup', ['-d', loop], { stdio: 'pipe' });
    } catch {
      // It went away with its mount.
    }
  }
}
