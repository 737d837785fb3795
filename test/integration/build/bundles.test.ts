import { spawn } from 'node:child_process';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const programs = (await readdir(join(root, 'src/main')))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -3));

/** What a program says in its first moments, without anything that it needs: no settings, no engine, no etcd. */
function firstWords(file: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file], {
      cwd: tmpdir(),
      env: {
        PATH: process.env.PATH,
        VFILE_DOCKER_SOCKET: '/nonexistent',
        VDVS_DOCKER_SOCKET: '/nonexistent',
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
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bundles-'));
    await cp(join(root, 'dist'), folder, { recursive: true });
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  it.each(programs)('%s starts and speaks for itself', async (program) => {
    const words = await firstWords(join(folder, `${program}.mjs`));
    expect(words).not.toBe('');
    // The marks of a bundle that misses something.
    expect(words).not.toMatch(
      /Cannot find (module|package)|Dynamic require|is not defined|\.proto|SyntaxError/,
    );
  });
});
