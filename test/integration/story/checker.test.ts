import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFaults, type Fault, runWorkers } from './workers.ts';

describe('the checker of what workers wrote into a shared folder', () => {
  let dir = '';
  let library = '';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vfile-faults-'));
    library = await buildFaults(dir);
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const problemsWith = async (fault: Fault, rounds = 40): Promise<string[]> =>
    (await runWorkers({ rounds, library, fault })).problems;
  /** On a busy machine one worker may be through with a few rounds before the next one begins: then no two of them meet. */
  const untilTheyMeet = 400;

  it('finds nothing wrong with an honest file system, on which everything was tried', async () => {
    const { diaries, problems } = await runWorkers({ rounds: 60, library });
    expect(problems).toEqual([]);
    for (const { turns, seen, put, cut, entries } of diaries) {
      expect(new Set(turns.map(({ lock }) => lock))).toEqual(new Set(['flock', 'fcntl']));
      expect(new Set(seen.map(({ kind }) => kind))).toEqual(new Set(['log', 'state', 'cycle', 'entry']));
      expect(Math.max(...seen.map(({ promised }) => promised))).toBeGreaterThan(10);
      expect(Math.min(put, cut)).toBeGreaterThan(3);
      expect(new Set(entries.map(({ what }) => what))).toEqual(new Set(['made', 'drop', 'gone', 'list']));
    }
  });

  it('finds an acknowledged record that was dropped', async () => {
    const problems = await problemsWith({ kind: 'lost-write', at: 7, worker: 'b' });
    // A reader that looks before the next record is written misses it too, and says so.
    const missed = /^\w: saw log 6 of b although 7 had been acknowledged$/;
    expect(problems.filter((problem) => !missed.test(problem))).toEqual([
      'b: acknowledged record 7 is there 0 times',
    ]);
  });

  it('finds a record that was written only in part', async () => {
    const problems = await problemsWith({ kind: 'torn-write', at: 7, worker: 'b' });
    expect(problems).toContainEqual(expect.stringContaining('b: a record is torn or foreign'));
    expect(problems).toContain('b: acknowledged record 7 is there 0 times');
  });

  it('finds a record that was written twice', async () => {
    expect(await problemsWith({ kind: 'twice-write', at: 7, worker: 'b' })).toContain(
      'b: acknowledged record 7 is there 2 times',
    );
  });

  it.each([
    ['flock', 'no-flock'],
    ['fcntl', 'no-fcntl'],
  ])('finds that %s was held by two at a time', async (lock, kind) => {
    const problems = await problemsWith({ kind }, untilTheyMeet);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.filter((problem) => !problem.includes(lock))).toEqual([]);
  });

  it('finds that one single host does not honour the locks of the others', async () => {
    expect(await problemsWith({ kind: 'no-flock', worker: 'c' }, untilTheyMeet)).not.toEqual([]);
  });

  it('finds a rename that was undone', async () => {
    const problems = await problemsWith({ kind: 'lost-rename', at: 2, worker: 'b' });
    expect(problems).toContainEqual(expect.stringMatching(/saw state 1 of b although \d+ had been/));
    expect(problems).toContainEqual(expect.stringMatching(/b: the file is of version 1, but version \d+/));
  });

  it('finds a truncation that was undone', async () => {
    const problems = await problemsWith({ kind: 'lost-truncate', at: 3, worker: 'b' });
    expect(problems).toContainEqual(expect.stringMatching(/saw cycle 2 of b although \d+ had been/));
    expect(problems).toContainEqual(expect.stringMatching(/b: the truncated file holds lines from before/));
  });

  it('finds an entry that was removed and is still listed', async () => {
    const problems = await problemsWith({ kind: 'lost-unlink', at: 1, worker: 'b' });
    expect(problems).toContain('b: entry 1 was removed and is there at the end');
  });

  it.each(['rename', 'unlink'])('takes a %s that was carried out but not answered for done', async (what) => {
    const fault = { kind: `repeated-${what}`, at: 2, worker: 'b' };
    const { diaries, problems } = await runWorkers({ rounds: 40, library, fault });
    expect(problems).toEqual([]);
    expect(diaries.map(({ repeated }) => repeated)).toEqual([[], [what], []]);
  });

  it('finds a reader that is shown the past', async () => {
    const problems = await problemsWith({ kind: 'stale-read', at: 9, worker: 'b' });
    expect(problems).toContainEqual(expect.stringMatching(/^b: saw log \d+ of [ac] although \d+ had been/));
  });
});
