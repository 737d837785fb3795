import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DiskContent } from './base-disk.ts';
import type { LabPaths } from './paths.ts';
import type { Tree } from './tree.ts';

/** What the product puts on the hosts' disks: its images and its plugins; undefined while there is no manifest. */
export async function productContent(
  paths: LabPaths,
  _tree: Tree,
  say: (text: string) => void,
  _signal?: AbortSignal,
): Promise<DiskContent | undefined> {
  if (!existsSync(join(paths.repo, 'images/manifest.json'))) {
    say('there is no images/manifest.json: no images');
    return undefined;
  }
  throw new Error('not yet');
}
