import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Run } from '../lib/exec.ts';
import { type MountEntry, mountAt, ownMounts, parseMountinfo } from '../lib/mountinfo.ts';

/** Source of the file system that holds all mount points, in the kernel's table. */
export const mountRootSource = 'volume-mount-points';

/** The mount table of the host's first process, as `plugin-config` binds it. */
const hostTableFile = '/run/host-mountinfo';

/** ms for mounting a tmpfs, which takes none. */
const toolMs = 20_000;

/** Beside the mount root: how often the plugin has started again because the host did not see it. */
const triesName = '.started-again';
const mostTries = 3;

/** What opening the mount root needs. */
export interface MountRootParts {
  /** Directly below the propagated mount. */
  readonly root: string;
  readonly run: Run;
  /** Where the host's mount table is; for tests. */
  readonly hostTable?: string;
}

/** The ID under which the engine runs this plugin, from the propagated mount's place on the host's disk. */
export function pluginId(entries: readonly MountEntry[], propagatedMount: string): string | undefined {
  const from = mountAt(entries, propagatedMount)?.root;
  return /\/plugins\/([0-9a-f]{64})\/propagated-mount$/.exec(from ?? '')?.[1];
}

/**
 * Mounts a small file system at the root below which volumes are mounted; one that is there already is kept. A mount point
 * that is made in it is on the host only if the plugin's mounts are, too. So should the engine not see them (see
 * `engine-sight.ts`), it finds nothing to give to a container, and the container does not start. In a directory on the
 * host's disk, it would find the empty mount point, and the container would write there, beside the volume.
 * @returns whether the host sees it; `undefined` when that cannot be told: this is no managed plugin, or it has no table.
 * @throws VolumeError when it cannot be mounted.
 */
export async function openMountRoot({
  root,
  run,
  hostTable = hostTableFile,
}: MountRootParts): Promise<boolean | undefined> {
  const entries = await ownMounts();
  if (mountAt(entries, root)?.source !== mountRootSource) {
    await mkdir(root, { recursive: true });
    // Directories take none of the size; it is there for what does not belong here.
    const options = 'size=64k,mode=0755,nosuid,nodev,noexec';
    await run('mount', ['-t', 'tmpfs', '-o', options, mountRootSource, root], { timeoutMs: toolMs });
  }
  const id = pluginId(entries, dirname(root));
  const table = await readFile(hostTable, 'utf8').catch(() => undefined);
  if (id === undefined || table === undefined) return undefined;
  const place = `/plugins/${id}/propagated-mount/${basename(root)}`;
  return parseMountinfo(table).some(
    ({ mountPoint, source }) => mountPoint.endsWith(place) && source === mountRootSource,
  );
}

/**
 * Opens the mount root, and says whether the plugin should start again, since nothing that it mounts now would be seen. That
 * is told before a call of the engine is answered: an engine that was killed starts its containers again before it answers
 * anybody. An engine may be in a mount name space of its own, which the host's first process does not see into; so three
 * times at most until the host was seen to see it.
 */
export async function shouldStartAgain(parts: MountRootParts): Promise<boolean> {
  const file = join(dirname(parts.root), triesName);
  const seen = await openMountRoot(parts);
  if (seen !== false) {
    if (seen) await rm(file, { force: true });
    return false;
  }
  const tries = Number(await readFile(file, 'utf8').catch(() => '0')) || 0;
  if (tries >= mostTries) return false;
  await writeFile(file, String(tries + 1));
  return true;
}
