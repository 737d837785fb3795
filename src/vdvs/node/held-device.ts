import { open } from 'node:fs/promises';
import type { HeldFile } from '../../lib/exec.ts';

/**
 * Runs a program that detaches a block device, or does what must not happen to another one, and lets it hold the device from
 * its first to its last moment. The kernel detaches no loop device that is held, so its number cannot become another disk's
 * before the program has come to it, whoever else detaches it meanwhile and whatever becomes of this process.
 * @param work gets what is to be held, nothing when the device cannot be opened: then it is not there, or just being
 *   detached. It may look first whether the device is the right one: from now on it stays that.
 */
export async function whileHeld<T>(
  device: string,
  work: (hold: { hold?: HeldFile }) => Promise<T>,
): Promise<T> {
  const held = await open(device, 'r').catch(() => undefined);
  if (!held) return await work({});
  // Who lets go last may have to wait for the disk. The program has a deadline; this process is not to wait.
  let taken = () => {
    taken = () => undefined;
    held.close().catch(() => undefined);
  };
  try {
    return await work({ hold: { descriptor: held.fd, taken: () => taken() } });
  } finally {
    taken();
  }
}
