import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

/** File of a loop device, ` (deleted)` behind its name when it is; `undefined` of one that has none. */
export function fileOf(device: string): string | undefined {
  try {
    return readFileSync(`${device.replace('/dev/', '/sys/block/')}/loop/backing_file`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Detaches a loop device of a file, or of a folder's files; one that is another disk's by now is left alone. */
export function detach(device: string, path: string): void {
  // While it is held its number becomes no other disk's.
  const held = openSync(device, 'r');
  try {
    const file = fileOf(device);
    if (file !== path && !file?.startsWith(`${path}/`)) return;
    execFileSync('losetup', ['-d', device], { stdio: 'pipe' });
  } finally {
    closeSync(held);
  }
}
