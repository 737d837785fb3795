import { describe, expect, it } from 'vitest';
import { openLab, whole } from './fixture.ts';
import { eventKinds } from './story/chaos-plan.ts';
import { renderResult } from './story/chaos-report.ts';
import { runChaos } from './story/chaos-run.ts';

const minutes = 10;
/** Ten minutes of this one have outages of each kind, of the server's host and of others: `npm run chaos -- --seed 4 --plan`. */
const seed = 4;
const say = (text: string): void => void process.stdout.write(`  ${text}\n`);

describe('chaos', () => {
  it(
    `leaves nothing lost, doubled, locked by two or stuck after ${minutes} minutes`,
    async ({ signal }) => {
      const lab = openLab();
      await whole(lab);
      const result = await runChaos({ lab, seed, minutes, only: eventKinds, say, signal });
      say(renderResult(result));
      expect(result.findings).toEqual([]);
      expect(result.rounds.length).toBeGreaterThan(5);
      expect(result.records).toBeGreaterThan(500);
    },
    // The last round, its recovery and the check come on top.
    (minutes + 12) * 60_000,
  );
});
