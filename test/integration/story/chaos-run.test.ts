import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { EventKind } from '../../lab/story/chaos-plan.ts';
import type { ChaosResult } from '../../lab/story/chaos-report.ts';
import { runChaos } from '../../lab/story/chaos-run.ts';
import { PretendedLab } from './pretended-lab.ts';
import { buildFaults } from './workers.ts';

describe('a chaos run', () => {
  let pretended: PretendedLab | undefined;
  const said: string[] = [];

  /** One round of one kind of event; the seeds are some whose first round begins after 3 s. */
  const run = async (
    only: EventKind,
    seed: number,
    env: Record<string, NodeJS.ProcessEnv> = {},
  ): Promise<ChaosResult> => {
    pretended = await PretendedLab.create(env);
    return await runChaos({
      lab: pretended.lab,
      seed,
      minutes: 0.05,
      only: [only],
      say: (text) => said.push(text),
      signal: new AbortController().signal,
    });
  };

  afterEach(async () => {
    await pretended?.remove();
    said.length = 0;
  });

  it('plays rounds, starts clients again that went with their host, measures stalls and finds nothing', async () => {
    const { rounds, findings, records, turns } = await run('dockerd', 75);
    expect(findings).toEqual([]);
    expect(rounds).toMatchObject([{ number: 1, kind: 'dockerd' }]);
    const [round] = rounds;
    expect(pretended?.orders).toEqual([`${round?.host}: pkill -KILL -x dockerd`]);
    expect(said).toContain(`the client on ${round?.host} was started again`);
    expect(round?.stallMs).toBeGreaterThan(0);
    // Each of its rounds has a pause of 100 ms.
    expect(round?.gapMs).toBeGreaterThan(100);
    expect(round?.gapMs).toBeLessThan(10_000);
    expect(Math.min(records, turns)).toBeGreaterThan(30);
  });

  it('finds a client that ended although nothing struck it, and what was lost', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'vfile-faults-'));
    try {
      const library = await buildFaults(dir);
      // Here every killing order ends the client of that host, which a kill of the plugin must not do.
      const { findings } = await run('vfile-plugin', 0, {
        node1: { LD_PRELOAD: library, FAULT: 'lost-write', FAULT_AT: '3' },
      });
      expect(findings).toContainEqual(expect.stringMatching(/^round 1: the client on node\d had ended/));
      expect(findings).toContain('chaos-1: node1: acknowledged record 3 is there 0 times');
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});
