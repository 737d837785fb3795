import { mkdir } from 'node:fs/promises';
import type { Run } from '../lib/exec.ts';

/** Source of the file system that holds all mount points, in the kernel's table. */
export const mountRootSource = 'volume-mount-points';

/** ms for mounting a tmpfs, which takes none. */
const toolMs = 20_000;

/**
 * Mounts a small file system at `root`, below which volumes are mounted; one that is there already is kept. A mount point
 * that is made in it is on the host only if the plugin's mounts are, too. So should the engine not see them (see
 * `engine-sight.ts`), it finds nothing to give to a container, and the container does not start. In a directory on the
 * host's disk, it would find the empty mount point, and the container would write there, beside the volume.
 * @param sourceAt the source of what is mounted on top at a path, `undefined` when nothing is.
 * @throws VolumeError when it cannot be mounted.
 */
export async function ensureMountRoot(parts: {
  readonly root: string;
  readonly run: Run;
  readonly sourceAt: (path: string) => Promise<string | undefined>;
}): Promise<void> {
  const { root, run, sourceAt } = parts;
  if ((await sourceAt(root)) === mountRootSource) return;
  await mkdir(root, { recursive: true });
  // Directories take none of the size; it is there for what does not belong here.
  const options = 'size=64k,mode=0755,nosuid,nodev,noexec';
  await run('mount', ['-t', 'tmpfs', '-o', options, mountRootSource, root], { timeoutMs: toolMs });
}
