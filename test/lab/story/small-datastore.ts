import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../src/lib/exec.ts';
import type { Lab } from '../tool/lab.ts';
import { childrenOf } from '../tool/processes.ts';
import { readHostState } from '../tool/state.ts';

const quick = { timeoutMs: 20_000 } as const;

/**
 * Puts a file system of its own in the place of a datastore's folder, on all hosts, while `work` runs: what was in the folder
 * is out of sight meanwhile.
 * @param bytes size of the file system.
 * @param work is given the folder where this machine sees it.
 */
export async function withSmallDatastore(
  lab: Lab,
  name: string,
  bytes: number,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const image = join(lab.paths.dir, 'small.img');
  const folder = join(lab.paths.dir, 'small');
  const undo: (() => Promise<unknown>)[] = [];
  try {
    await writeFile(image, '');
    undo.push(() => rm(image));
    await truncate(image, bytes);
    await run('mkfs.ext4', ['-q', '-m', '0', image], quick);
    const device = (await run('losetup', ['--find', '--show', image], quick)).stdout.trim();
    undo.push(() => run('losetup', ['-d', device], quick));
    await mkdir(folder);
    undo.push(() => rm(folder, { recursive: true }));
    await run('mount', [device, folder], quick);
    undo.push(() => run('umount', [folder], quick));
    await rm(join(folder, 'lost+found'), { recursive: true });
    for (const host of lab.hosts) {
      // Each host is a process with mounts and process numbers of its own; among its mounts the datastores are below /lab.
      const init = childrenOf(readHostState(host)?.pid ?? 0)[0];
      const inHost = ['--mount', '--pid', `--target=${init}`];
      const place = `/lab/datastores/${name}`;
      await run('nsenter', [...inHost, 'mount', device, place], quick);
      undo.push(() => run('nsenter', [...inHost, 'umount', '-l', place], quick));
    }
    await work(folder);
  } finally {
    for (const step of undo.reverse()) await step();
  }
}
