import { open } from 'node:fs/promises';
import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import { withDeadline } from './deadline.ts';

/** One file system block: it is overwritten in place, so a full disk takes it too once it exists. */
const probeBytes = 4096;

async function writeThrough(path: string, text: string): Promise<void> {
  // No O_TRUNC: freeing and taking the block again would fail on a full disk.
  const file = await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return open(path, 'wx+', 0o600);
    throw error;
  });
  try {
    await file.write(Buffer.from(text.padEnd(probeBytes, '\n')), 0, probeBytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What a write probe found. */
export type WriteProbe = (text: string, timeoutMs: number) => Promise<'writable' | 'full'>;

/**
 * A probe that writes `path` and has it synced to the disk. A full disk is reported, not thrown: readers, and those who
 * would delete something, must still be served.
 * @throws VolumeError `unavailable` when the disk refuses (I/O error, shut down, read-only), `timeout` when it does not
 *   answer; while an earlier call still hangs in the kernel no second one is made.
 */
export function createWriteProbe({ path, clock }: { path: string; clock: Clock }): WriteProbe {
  let pending: Promise<void> | undefined;
  return async (text, timeoutMs) => {
    pending ??= writeThrough(path, text).finally(() => {
      pending = undefined;
    });
    try {
      await withDeadline(clock, timeoutMs, `write to ${path}`, pending);
      return 'writable';
    } catch (error) {
      if (error instanceof VolumeError) throw error;
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOSPC' || code === 'EDQUOT') return 'full';
      throw new VolumeError('unavailable', `the volume's disk does not accept writes: ${message}`, {
        cause: error,
      });
    }
  };
}
