import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { VolumeError } from '../../../src/lib/errors.ts';
import { fingerprint } from './fingerprint.ts';
import type { LabPaths } from './paths.ts';

/** The Debian release of the hosts and of the images. */
export const suite = 'trixie';

const packages = [
  ...['docker.io', 'docker-cli', 'tini', 'ca-certificates', 'python3-minimal', 'socat', 'user-mode-linux'],
  ...['iproute2', 'iptables', 'ipvsadm', 'conntrack', 'iputils-ping', 'kmod', 'udev', 'procps', 'psmisc'],
  ...['nfs-common', 'e2fsprogs', 'xfsprogs', 'util-linux', 'mount', 'curl', 'jq', 'strace'],
];

/** What debootstrap and apt made, once. */
export interface Tree {
  /** The hosts' root file system. */
  readonly root: string;
  /** Stand-in for `debian:<suite>-slim`, to be imported. */
  readonly standin: string;
  /** Names what went into both. */
  readonly key: string;
}

/** The tree, built if it is not in the cache. Takes about two minutes then. */
export async function prepareTree(
  paths: LabPaths,
  say: (text: string) => void,
  signal?: AbortSignal,
): Promise<Tree> {
  const script = join(paths.hostScripts, 'build-tree.sh');
  const key = fingerprint(readFileSync(script), suite, ...packages);
  const done = join(paths.cache, `tree-${key}`);
  if (!existsSync(done)) {
    const partial = `${done}.partial`;
    await rm(partial, { recursive: true, force: true });
    await mkdir(paths.cache, { recursive: true });
    await build(paths, [script, partial, join(paths.cache, 'debs'), suite, ...packages], say, signal);
    await rename(partial, done);
  }
  return { root: join(done, 'tree'), standin: join(done, 'standin.tar'), key };
}

async function build(
  paths: LabPaths,
  args: string[],
  say: (text: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  // Own mount and PID namespaces: whatever ends this command, nothing stays mounted and nothing keeps running.
  const child = execa('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', ...args], {
    timeout: 900_000,
    reject: false,
    stdin: 'pipe',
    cwd: paths.cache,
    ...(signal ? { cancelSignal: signal, forceKillAfterDelay: 1_000 } : {}),
  });
  child.stdout.on('data', (data: Buffer) => {
    for (const line of data.toString().split('\n')) if (line.startsWith('step: ')) say(line.slice(6));
  });
  const result = await child;
  if (result.exitCode === 0) return;
  const why = result.timedOut ? 'not finished after 15 minutes' : result.stderr.trim() || result.shortMessage;
  throw new VolumeError('internal', `the hosts' file system could not be built: ${why}`);
}
