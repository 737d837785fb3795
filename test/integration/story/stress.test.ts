import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildFaults } from './workers.ts';

const program = join(import.meta.dirname, '../../lab/story/stress.pl');

describe('the stress programs on a local folder', () => {
  let dir = '';
  let library = '';
  const volume = (): string => join(dir, 'volume');

  /** Runs the program of a mode; `fault` is put under it. @returns its exit code and last line. */
  const run = async (mode: string, name: string, args: readonly (string | number)[], fault?: string) => {
    const env = fault ? { LD_PRELOAD: library, FAULT: fault, FAULT_AT: '5', FAULT_FOLDER: volume() } : {};
    const result = await execa('perl', [program, mode, volume(), name, ...args.map(String)], {
      reject: false,
      timeout: 20_000,
      env,
    });
    return `${result.exitCode} ${result.stdout.split('\n').at(-1)}${result.stderr}`;
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vfile-stress-'));
    library = await buildFaults(dir);
  });
  beforeEach(async () => {
    await rm(volume(), { recursive: true, force: true });
    await mkdir(volume());
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('find nothing wrong, and leave only what is shared', async () => {
    const many = await Promise.all(['a', 'b'].map((name) => run('many', name, [300, 3, 'a,b'])));
    expect(many).toEqual(Array(2).fill('0 done 300 of 600 files in one directory made, all listed, removed'));
    expect(await run('sparse', 'a', [20e9])).toMatch(/^0 done a sparse file of 20000000000 bytes/);
    const both = await Promise.all([run('open', 'a', [2, 4]), run('open', 'b', [2, 4])]);
    expect(both).toEqual(Array(2).fill('0 done 4 processes opened and closed one file for 2 s'));
    const three = await Promise.all(['a', 'b', 'c'].map((name, seed) => run('random', name, [2, seed])));
    for (const one of three) expect(one).toMatch(/^0 done [1-9]\d* turns of random changes$/);
    expect((await readdir(volume())).sort()).toEqual([
      'many.steps',
      'open.shared',
      'random.data',
      'random.sums',
    ]);
  });

  it('find a write that was lost', async () => {
    expect(await run('random', 'a', [10, 1], 'lost-write')).toMatch(
      /^1 FAULT random on a: after turn \d+ of a/,
    );
  });

  it('find that a lock did not keep others out', async () => {
    const all = ['a', 'b', 'c'].map((name, seed) => run('random', name, [2, seed], 'no-fcntl'));
    expect(await Promise.all(all)).toContainEqual(expect.stringMatching(/^1 FAULT random/));
  });
});
