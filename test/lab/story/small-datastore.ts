import { rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../src/lib/exec.ts';
import type { Lab } from '../tool/lab.ts';
import { childrenOf } from '../tool/processes.ts';
import { readHostState } from '../tool/state.ts';

const quick = { timeoutMs: 20_000 } as const;

/**
 * Puts a file system of its own in the place of a datastore's folder, on all hosts, while `work` runs: what was in the folder
 * is out of sight meanwhile. It is mounted among the hosts' mounts only, so it goes with them, and its loop device too,
 * when `work` is interrupted.
 * @param bytes size of the file system.
 * @param work is given the folder where this machine sees it.
 */
export async function withSmallDatastore(
  lab: Lab,
  name: string,
  bytes: number,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const image = join(lab.paths.datastores, 'small.img');
  const folder = `/lab/datastores/${name}`;
  const undo: (() => Promise<unknown>)[] = [];
  try {
    await writeFile(image, '');
    undo.push(() => rm(image));
    await truncate(image, bytes);
    await run('mkfs.ext4', ['-q', '-m', '0', image], quick);
    // Each host is a process with mounts and process numbers of its own.
    const inits = lab.hosts.map((host) => childrenOf(readHostState(host)?.pid ?? 0)[0] ?? 0);
    for (const init of inits) {
      const inHost = ['--mount', '--pid', `--target=${init}`];
      await run('nsenter', [...inHost, 'mount', '-o', 'loop', '/lab/datastores/small.img', folder], quick);
      undo.push(() => run('nsenter', [...inHost, 'umount', '-l', folder], quick));
    }
    const here = `/proc/${inits[0]}/root${folder}`;
    await rm(join(here, 'lost+found'), { recursive: true });
    await work(here);
  } finally {
    for (const step of undo.reverse()) await step();
  }
}
