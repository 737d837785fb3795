import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from '../../../src/lib/errors.ts';
import { baseDiskFile, holdBaseDisk, prepareBaseDisk } from './base-disk.ts';
import { emptyFolder, type Lab } from './lab.ts';
import { locked } from './lock.ts';
import { productContent } from './product.ts';
import { readLabState, writeLabState } from './state.ts';
import type { Step } from './steps.ts';
import { prepareTree, type Tree } from './tree.ts';
import type { UpOptions } from './up.ts';

/** Another lab that shares the cache may be building the same, which takes minutes at most. */
const cacheWaitSeconds = 900;

/** The steps that make what hosts are started from, or find it in the cache. Afterwards the lab has its state. */
export function prepareSteps(lab: Lab, options: UpOptions, signal?: AbortSignal): Step[] {
  const { paths } = lab;
  const inCache = async <T>(action: () => Promise<T>) => {
    await mkdir(paths.cache, { recursive: true });
    return locked(join(paths.cache, 'lock'), cacheWaitSeconds, action);
  };
  let tree: Tree | undefined;
  return [
    {
      title: "The hosts' file system",
      run: async (say) => {
        tree = await inCache(() => prepareTree(paths, say, signal));
      },
    },
    {
      title: options.bare ? "The hosts' disk" : "Images, plugins and the hosts' disk",
      run: async (say) => {
        if (tree === undefined) throw new VolumeError('internal', 'the tree has not been prepared');
        const base = tree;
        const content = options.bare ? undefined : await productContent(paths, say, signal);
        const state = readLabState(paths);
        if (state !== undefined) {
          const same = options.bare || state.image === baseDiskFile(paths, base, content);
          return say(
            same ? 'the hosts have theirs' : 'the code has changed: "lab up --fresh" brings it to the hosts',
          );
        }
        await inCache(async () => {
          const image = await prepareBaseDisk(paths, base, content, say, signal);
          await emptyFolder(paths.logs);
          await writeLabState(paths, {
            nodes: options.nodes,
            managers: options.managers,
            tree: base.root,
            base: await holdBaseDisk(paths, image),
            image,
            ready: false,
            stack: !options.bare,
          });
        });
      },
    },
  ];
}
