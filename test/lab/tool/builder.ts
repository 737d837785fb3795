import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { VolumeError } from '../../../src/lib/errors.ts';
import { type DockerCommand, dockerCommand } from './docker-cli.ts';
import { engineGet } from './engine.ts';
import type { LabPaths } from './paths.ts';
import { childrenOf } from './processes.ts';
import { waitFor } from './wait.ts';

/** A running engine on the disk that the hosts' disks are made of. */
export interface Builder {
  /** Runs the Docker command line against it; throws with the end of its output when it fails. */
  docker(args: readonly string[], timeoutMs: number): Promise<string>;
  /** Where this machine finds a path of the engine's own file system. */
  path(inside: string): string;
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
    await waitFor(
      async () => {
        if (!running) return { done: false, reason: failure(door, errors), hopeless: true };
        await engineGet(join(door, 'docker.sock'), '/_ping', 2_000);
        return { done: true, value: undefined };
      },
      { what: 'the engine that prepares the disk', timeoutMs: 40_000, ...(signal ? { signal } : {}) },
    );
    const init = childrenOf(child.pid ?? 0)[0];
    return await action({
      docker: (args, timeoutMs) => {
        const command = dockerCommand(
          tree,
          join(paths.dir, 'docker-config'),
          join(door, 'docker.sock'),
          args,
        );
        return runDocker(command, args, { timeoutMs, cwd: paths.repo, signal });
      },
      path: (inside) => `/proc/${init}/root${inside}`,
    });
  } finally {
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
    await ended;
    clearTimeout(timer);
    await removeCgroups(cgroup);
  }
}

async function runDocker(
  command: DockerCommand,
  args: readonly string[],
  options: { timeoutMs: number; cwd: string; signal: AbortSignal | undefined },
): Promise<string> {
  const result = await execa(command.file, command.args, {
    timeout: options.timeoutMs,
    reject: false,
    stdin: 'ignore',
    all: true,
    cwd: options.cwd,
    env: command.env,
    ...(options.signal ? { cancelSignal: options.signal } : {}),
  });
  if (result.exitCode === 0) return result.stdout;
  const tail = () => result.all.split('\n').slice(-15).join('\n');
  const why = result.timedOut ? `not finished after ${options.timeoutMs / 1000} s` : tail();
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
