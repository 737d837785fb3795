import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VolumeError } from '../../../src/lib/errors.ts';

/** Every place the lab uses on this machine; nothing else is written. */
export interface LabPaths {
  /** The project's top folder. */
  readonly repo: string;
  /** Scripts that run on and around the hosts. */
  readonly hostScripts: string;
  /** The lab's own folder. */
  readonly dir: string;
  /** What survives `down`; may be shared by several labs. */
  readonly cache: string;
  /** The lab's network namespace. */
  readonly netns: string;
  readonly lock: string;
  readonly state: string;
  /** The image that the hosts' disks are copies of, held by the lab so that the cache may drop it. */
  readonly base: string;
  readonly sockets: string;
  readonly datastores: string;
  readonly hosts: string;
  readonly logs: string;
}

const here = dirname(fileURLToPath(import.meta.url));

/** Longest path of a unix socket that the kernel takes, less the terminating zero and a host's name. */
const longestSocketFolder = 107 - '/node99.docker'.length;

/**
 * Where a lab lives: `VFILE_LAB_DIR` and `VFILE_LAB_CACHE`, by default `.lab` and `.lab/cache` in the project.
 * @throws VolumeError `invalid` when the folder's name is too long for unix sockets.
 */
export function labPaths(env: Readonly<Record<string, string | undefined>>): LabPaths {
  const repo = resolve(here, '../../..');
  const dir = resolve(env.VFILE_LAB_DIR ?? join(repo, '.lab'));
  const sockets = join(dir, 's');
  if (Buffer.byteLength(sockets) > longestSocketFolder) {
    throw new VolumeError(
      'invalid',
      `${dir} is too long a name for the lab's sockets; set VFILE_LAB_DIR to a shorter one`,
    );
  }
  return Object.freeze({
    repo,
    hostScripts: resolve(here, '../host'),
    dir,
    cache: resolve(env.VFILE_LAB_CACHE ?? join(dir, 'cache')),
    netns: `vfile-lab-${createHash('sha256').update(dir).digest('hex').slice(0, 8)}`,
    lock: join(dir, 'lock'),
    state: join(dir, 'lab.json'),
    base: join(dir, 'base.img'),
    sockets,
    datastores: join(dir, 'datastores'),
    hosts: join(dir, 'hosts'),
    logs: join(dir, 'logs'),
  });
}

/** Whether a network namespace of this name is registered on the machine. */
export function netnsExists(name: string): boolean {
  return existsSync(`/run/netns/${name}`);
}
