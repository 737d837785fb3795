import type { Run } from '../lib/exec.ts';

/**
 * Drops what this host remembers of a file's contents, for another host may have written to it since. Writes nothing.
 * @param timeoutMs deadline of the program, in ms.
 * @throws VolumeError when the file is not there (it is not made), and what `run` throws.
 */
export async function forgetPages(run: Run, file: string, timeoutMs: number): Promise<void> {
  // A file that was deleted meanwhile must not be made anew, empty.
  const how = ['oflag=nocache', 'conv=nocreat,notrunc,fdatasync', 'count=0', 'status=none'];
  await run('dd', [`of=${file}`, ...how], { timeoutMs, input: '' });
}
