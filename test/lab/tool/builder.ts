import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { VolumeError } from '../../../src/lib/errors.ts';
import { dockerCommand } from './docker-cli.ts';
import { engineGet } from './engine.ts';
import type { LabPaths } from './paths.ts';
import { waitFor } from './wait.ts';

/** A running engine on the disk that the hosts' disks are made of. */
export interface Builder {
  /** Runs the Docker command line against it; throws with the end of its output when it fails. */
  docker(args: readonly string[], timeoutMs: number, env?: Readonly<Record<string, string>>): Promise<string>;
}

/**
 * Starts the hosts' own engine natively on a disk image, does something with it and stops it. Afterwards the image
 * is a clean file system with that engine's data in `docker/`.
 */
export async function withBuilder<T>(
  paths: LabPaths,
  tree: string,
  disk: string,
  action: (builder: Builder) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const door = join(paths.dir, 'builder');
  await rm(join(door, 'docker.sock'), { force: true });
  await mkdir(door, { recursive: true });
  const cgroup = paths.netns;
  const child = spawn(
    'unshare',
    [
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      'sh',
      join(paths.hostScripts, 'builder.sh'),
      tree,
      disk,
      door,
      cgroup,
    ],
    // A process group of its own: an interrupt from the terminal ends it through its standard input, cleanly.
    { stdio: ['pipe', 'ignore', 'pipe'], detached: true },
  );
  let errors = '';
  child.stderr.on('data', (data: Buffer) => {
    errors += data.toString();
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  let running = true;
  void ended.then(() => {
    running = false;
  });
  try {
    const started = await waitFor(
      async () => {
        if (!running) return { done: true, value: false };
        await engineGet(join(door, 'docker.sock'), '/_ping', 2_000);
        return { done: true, value: true };
      },
      { what: 'the engine that prepares the disk', timeoutMs: 40_000, ...(signal ? { signal } : {}) },
    );
    if (!started) {
      throw new VolumeError('internal', `the engine that prepares the disk ended: ${failure(door, errors)}`);
    }
    return await action({
      docker: (args, timeoutMs, env) => docker(paths, tree, door, args, timeoutMs, env, signal),
    });
  } finally {
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
    await ended;
    clearTimeout(timer);
    await removeCgroups(cgroup);
  }
}

async function docker(
  paths: LabPaths,
  tree: string,
  door: string,
  args: readonly string[],
  timeoutMs: number,
  env: Readonly<Record<string, string>> | undefined,
  signal: AbortSignal | undefined,
): Promise<string> {
  const command = dockerCommand(tree, join(paths.dir, 'docker-config'), join(door, 'docker.sock'), args);
  const result = await execa(command.file, command.args, {
    timeout: timeoutMs,
    reject: false,
    stdin: 'ignore',
    all: true,
    cwd: paths.repo,
    env: { ...command.env, ...env },
    ...(signal ? { cancelSignal: signal } : {}),
  });
  if (result.exitCode === 0) return result.stdout;
  const why = result.timedOut
    ? `not finished after ${timeoutMs / 1000} s`
    : result.all.split('\n').slice(-15).join('\n');
  throw new VolumeError('internal', `docker ${args.join(' ')}: ${why}`);
}

function failure(door: string, errors: string): string {
  const log = join(door, 'dockerd.log');
  const last = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(-3).join('; ') : '';
  return errors.trim() || last;
}

/** The engine leaves its empty groups behind in whatever hierarchies this machine has. */
async function removeCgroups(name: string): Promise<void> {
  const { stdout } = await execa('find', ['/sys/fs/cgroup', '-depth', '-type', 'd', '-path', `*/${name}*`], {
    reject: false,
  });
  for (const dir of stdout.split('\n').filter(Boolean)) await rmdir(dir).catch(() => {});
}
