import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseMountinfo } from '../../../src/lib/mountinfo.ts';
import { mountRootSource } from '../../../src/plugin/mount-root.ts';
import { clearHost } from '../vdvs/clear-host.ts';

const root = join(import.meta.dirname, '../../..');
const programs = (await readdir(join(root, 'src/main')))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -3));

/** Where plugins have opened their mount roots on this machine, but for those of other tests. */
const mountRoots = () =>
  parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
    .filter(({ source, mountPoint }) => source === mountRootSource && !mountPoint.startsWith(tmpdir()))
    .map(({ mountPoint }) => mountPoint);

/**
 * What a program says in its first moments, without anything that it needs: no settings, no engine, no etcd.
 * @param folder what it mounts is mounted below it.
 */
function firstWords(file: string, folder: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file], {
      cwd: tmpdir(),
      env: {
        PATH: process.env.PATH,
        VFILE_DOCKER_SOCKET: '/nonexistent',
        VDVS_DOCKER_SOCKET: '/nonexistent',
        VFILE_MOUNT_ROOT: join(folder, 'vfile'),
        VDVS_MOUNT_ROOT: join(folder, 'vdvs'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said: Buffer[] = [];
    const done = (): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      resolve(Buffer.concat(said).toString());
    };
    const timer = setTimeout(done, 20_000);
    const hear = (chunk: Buffer): void => {
      said.push(chunk);
      if (chunk.includes('\n')) setTimeout(done, 300);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', reject);
    child.once('close', done);
  });
}

describe('each program, bundled and alone in a folder', () => {
  let folder: string;
  const before = mountRoots();
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bundles-'));
    await cp(join(root, 'dist'), folder, { recursive: true });
  });
  afterAll(async () => {
    clearHost(folder);
    await rm(folder, { recursive: true });
  });

  it.each(programs)('%s starts and speaks for itself', async (program) => {
    const words = await firstWords(join(folder, `${program}.mjs`), folder);
    expect(words).not.toBe('');
    // The marks of a bundle that misses something.
    expect(words).not.toMatch(
      /Cannot find (module|package)|Dynamic require|is not defined|\.proto|SyntaxError/,
    );
  });

  it('leave nothing mounted on this machine', () => {
    expect(mountRoots()).toEqual(before);
  });
});
