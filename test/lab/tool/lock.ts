import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VolumeError } from '../../../src/lib/errors.ts';

/** Lets go of the lock. */
export type Release = () => Promise<void>;

/**
 * Takes the lab's lock, so that two commands cannot change one lab at the same time. It is held by a child that
 * ends with this process, however this process ends.
 * @param waitSeconds How long to wait for a command that has it.
 * @throws VolumeError `busy` when it is not free by then.
 */
export async function takeLock(file: string, waitSeconds: number): Promise<Release> {
  await mkdir(dirname(file), { recursive: true });
  const child = spawn('flock', ['-w', String(waitSeconds), file, 'sh', '-c', 'echo held; cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // An interrupt from the terminal must not take the lock away from a command that is still cleaning up.
    detached: true,
  });

  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const held = await new Promise<boolean>((resolve, reject) => {
    child.stdout.once('data', () => resolve(true));
    child.once('error', reject);
    child.once('close', () => resolve(false));
  });
  if (!held) {
    throw new VolumeError('busy', `another lab command holds ${file}; waited ${waitSeconds} s for it`);
  }
  return async () => {
    child.stdin.end();
    await ended;
  };
}

/** Does something while holding the lock. */
export async function locked<T>(file: string, waitSeconds: number, action: () => Promise<T>): Promise<T> {
  const release = await takeLock(file, waitSeconds);
  try {
    return await action();
  } finally {
    await release();
  }
}
