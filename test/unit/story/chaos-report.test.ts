import { describe, expect, it } from 'vitest';
import { figuresByEvent, type RoundResult, renderResult } from '../../lab/story/chaos-report.ts';

const round = (more: Partial<RoundResult>): RoundResult => ({
  number: 1,
  kind: 'power',
  host: 'node1',
  onServer: true,
  at: 0,
  stallMs: 1_000,
  gapMs: 3_000,
  recoveryMs: 20_000,
  ...more,
});
const empty = { seed: 42, rounds: [], records: 0, turns: 0, findings: [] };

describe('the result of a chaos run', () => {
  it('groups stalls by event, the server’s host apart from the others, double failures apart from single ones', () => {
    const figures = figuresByEvent([
      round({ stallMs: 4_000 }),
      round({ stallMs: 9_000, recoveryMs: 40_000 }),
      round({ stallMs: 6_000 }),
      round({ onServer: false, stallMs: 100 }),
      round({ second: 'manager', stallMs: 12_000 }),
    ]);
    expect(figures.map(({ event, count }) => [event, count])).toEqual([
      ['power of the server’s host', 3],
      ['power', 1],
      ['power of the server’s host, then a second failure', 1],
    ]);
    expect(figures[0]).toMatchObject({
      medianStallMs: 6_000,
      worstStallMs: 9_000,
      worstGapMs: 3_000,
      medianRecoveryMs: 20_000,
      worstRecoveryMs: 40_000,
    });
  });

  it('is told with the seed, which repeats the run', () => {
    const text = renderResult({ ...empty, rounds: [round({ stallMs: 4_200 })], records: 100, turns: 90 });
    expect(text).toContain('4.2 s');
    expect(text).toContain('seed 42: 1 rounds, 100 records acknowledged, 90 turns under locks');
    expect(text).toContain('nothing is wrong');
  });

  it('names every finding', () => {
    const text = renderResult({ ...empty, findings: ['a: acknowledged record 7 is there 0 times', 'other'] });
    expect(text).toContain('FINDING a: acknowledged record 7 is there 0 times');
    expect(text).toContain('2 findings');
  });
});
