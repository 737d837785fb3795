import { open } from 'node:fs/promises';

/**
 * Starts a program that detaches a block device, and lets it hold the device from its first to its last moment. The kernel
 * detaches no loop device that is held, so its number cannot become another disk's before the program has come to it,
 * whoever else detaches it meanwhile and whatever becomes of this process.
 * @param start gets the descriptor to inherit, none when the device cannot be opened: then it is not there, or just
 *   being detached. It must start the program before it returns its promise, and may look first whether the device is
 *   the right one: from now on it stays that.
 */
export async function whileHeld<T>(
  device: string,
  start: (held: number | undefined) => Promise<T>,
): Promise<T> {
  const held = await open(device, 'r').catch(() => undefined);
  const running = start(held?.fd);
  // Who lets go last may have to wait for the disk. The program has a deadline; this process is not to wait.
  held?.close().catch(() => undefined);
  return await running;
}
