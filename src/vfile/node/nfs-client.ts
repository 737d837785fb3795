import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toVolumeError } from '../../lib/errors.ts';
import type { Run } from '../../lib/exec.ts';
import type { Log } from '../../lib/log.ts';

/** First kernel with `dstaddr` in sysfs. */
const oldestKernel = { major: 5, minor: 14 } as const;

/** Whether this kernel can re-target transports. @param release as of `uname -r`. */
export function kernelCanRetarget(release: string): boolean {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  return major > oldestKernel.major || (major === oldestKernel.major && minor >= oldestKernel.minor);
}

/** The kernel shows an identifier that nobody set as `(null)`. */
export function isUnset(identifier: string): boolean {
  return ['', '(null)'].includes(identifier.trim());
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Makes the kernel's NFS client ready: loads it, and gives it this node's ID as its name. Servers know a client by its
 * name, which otherwise is the host's, and two hosts of one name would take each other's locks for their own.
 * @returns what this node cannot do, for users; empty when all is well. Never throws.
 */
export async function prepareNfsClient(parts: {
  run: Run;
  log: Log;
  /** Usually `/sys`. */
  sysfs: string;
  kernelRelease: string;
  nodeId: string;
  /** An existing directory; nothing is mounted there. */
  anyDirectory: string;
}): Promise<string[]> {
  const { run, log, sysfs, kernelRelease, nodeId, anyDirectory } = parts;
  const problems: string[] = [];
  const identifier = join(sysfs, 'fs/nfs/net/nfs_client/identifier');

  if (!(await exists(identifier))) {
    // A container has no modules to load, but the kernel loads a file system's by itself when it is asked to mount one.
    // Without a server in the options the mount is refused before anything is sent.
    await run('mount', ['-i', '-n', '-t', 'nfs4', 'none', anyDirectory], { timeoutMs: 10_000 }).catch(
      (thrown) => log.debug('loaded the NFS client', { answer: toVolumeError(thrown).message }),
    );
  }
  if (!kernelCanRetarget(kernelRelease)) {
    problems.push(
      `kernel ${kernelRelease} is older than ${oldestKernel.major}.${oldestKernel.minor}: mounts on this node cannot follow a server that moves`,
    );
  } else if (!(await exists(join(sysfs, 'kernel/sunrpc')))) {
    problems.push(
      'the kernel has no NFS client (no /sys/kernel/sunrpc): shared volumes cannot be mounted on this node',
    );
  }
  try {
    if ((await exists(identifier)) && isUnset(await readFile(identifier, 'utf8'))) {
      await writeFile(identifier, nodeId);
      log.info('NFS client named after this node', { identifier: nodeId });
    }
  } catch (thrown) {
    // Not fatal: host names of nodes usually differ.
    log.warn('cannot name the NFS client after this node', { error: toVolumeError(thrown).message });
  }
  return problems;
}
