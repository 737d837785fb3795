import { existsSync } from 'node:fs';
import { link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../src/lib/exec.ts';
import { type Builder, withBuilder } from './builder.ts';
import { fingerprint } from './fingerprint.ts';
import type { LabPaths } from './paths.ts';
import { suite, type Tree } from './tree.ts';

/** The image that users' test workloads run. */
export const workloadImage = `debian:${suite}-slim`;

/** What goes onto the disk besides the workload image. */
export interface DiskContent {
  /** Names the content; equal keys must mean equal disks. */
  readonly key: string;
  fill(builder: Builder, say: (text: string) => void): Promise<void>;
}

const diskSize = '24G';

/** How many images the cache keeps; each lab holds its own besides. */
const imagesKept = 3;

/** Where the cache has the disk with this content, whether it is there or not. */
export function baseDiskFile(paths: LabPaths, tree: Tree, content: DiskContent | undefined): string {
  return join(paths.cache, `base-${fingerprint(tree.key, diskSize, content?.key ?? 'bare')}.img`);
}

/** Gives the lab its own hold on an image of the cache: a second name where that is possible, else the same one. */
export async function holdBaseDisk(paths: LabPaths, image: string): Promise<string> {
  await rm(paths.base, { force: true });
  return link(image, paths.base).then(
    () => paths.base,
    () => image,
  );
}

/**
 * The image that all hosts' disks are copies of, built if it is not in the cache. The engine works on a disk of its
 * own that is kept, so that its layer cache makes the next build short; what the hosts get is a sparse copy of it.
 */
export async function prepareBaseDisk(
  paths: LabPaths,
  tree: Tree,
  content: DiskContent | undefined,
  say: (text: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const done = baseDiskFile(paths, tree, content);
  if (existsSync(done)) return done;
  const working = join(paths.cache, `work-${fingerprint(tree.key, diskSize)}.img`);
  if (!existsSync(working)) {
    say('making the disk');
    await makeDisk(working);
  }
  await withBuilder(
    paths,
    tree.root,
    working,
    async (builder) => {
      if (!(await builder.docker(['images', '-q', workloadImage], 30_000))) {
        say(`importing the stand-in for ${workloadImage}`);
        await builder.docker(['import', '-c', 'CMD ["bash"]', tree.standin, workloadImage], 120_000);
      }
      await content?.fill(builder, say);
    },
    signal,
  );
  say('copying the disk');
  await mkdir(paths.cache, { recursive: true });
  await rm(`${done}.partial`, { force: true });
  await run('cp', ['--sparse=always', working, `${done}.partial`], {
    timeoutMs: 120_000,
    ...(signal ? { signal } : {}),
  });
  await rename(`${done}.partial`, done);
  await dropOldImages(paths.cache);
  return done;
}

async function dropOldImages(cache: string): Promise<void> {
  const names = (await readdir(cache)).filter((name) => /^base-.*\.img$/.test(name));
  const aged = await Promise.all(
    names.map(async (name) => ({ name, at: (await stat(join(cache, name))).mtimeMs })),
  );
  const old = aged.sort((a, b) => b.at - a.at).slice(imagesKept);
  for (const { name } of old) await rm(join(cache, name), { force: true });
}

async function makeDisk(file: string): Promise<void> {
  const partial = `${file}.partial`;
  await rm(partial, { force: true });
  await run('truncate', ['-s', diskSize, partial], { timeoutMs: 10_000 });
  // Everything initialised now: the hosts' kernels shall not do it in the background, each on its own copy.
  const options = ['-i', '32768', '-J', 'size=64', '-E', 'lazy_itable_init=0,lazy_journal_init=0'];
  await run('mkfs.ext4', ['-q', '-F', ...options, partial], { timeoutMs: 60_000 });
  await rename(partial, file);
}
