import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { run } from '../../../src/lib/exec.ts';
import { fingerprint, fingerprintFiles } from '../../lab/tool/fingerprint.ts';
import { suite } from '../../lab/tool/tree.ts';
import { inOwnMounts } from '../own-mounts.ts';

const here = import.meta.dirname;
const cache = resolve(here, '../../../.lab/cache');
/** What the image does to ganesha after its installation. */
const image = resolve(here, '../../../images/fileserver');

/**
 * A Debian tree with the same ganesha that the image has; kept beside the lab's caches. Building it takes about a minute,
 * root and the Debian mirror.
 */
export async function ganeshaTree(): Promise<string> {
  const script = join(here, 'build-ganesha-tree.sh');
  const changes = fingerprintFiles(image, ['put-shim', 'ganesha-shim.c']);
  const done = join(cache, `ganesha-${fingerprint(readFileSync(script), suite, changes)}`);
  if (existsSync(done)) return done;
  const partial = `${done}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(cache, { recursive: true });
  const build = ['sh', script, partial, join(cache, 'debs-ganesha'), suite, image];
  const [program, ...args] = inOwnMounts(partial, ['--pid', '--fork', '--kill-child'], build);
  await run(program, args, { timeoutMs: 600_000 });
  await rename(partial, done);
  return done;
}

/** How to start ganesha from the tree on a volume mounted at `exportRoot`, as host `host`. */
export function ganeshaCommand(options: {
  tree: string;
  host: string;
  exportRoot: string;
  runDir: string;
}): [string, ...string[]] {
  const { tree, host, exportRoot, runDir } = options;
  const script = join(here, 'run-ganesha.sh');
  const command = ['sh', script, tree, host, exportRoot, runDir];
  return inOwnMounts(dirname(exportRoot), ['--propagation', 'slave', '--uts'], command);
}
