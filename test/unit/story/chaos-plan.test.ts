import { describe, expect, it } from 'vitest';
import {
  describeRound,
  type EventKind,
  eventKinds,
  isOutage,
  planRounds,
  type Round,
} from '../../lab/story/chaos-plan.ts';

const hosts = ['node1', 'node2', 'node3'];

function rounds(seed: number, count: number, only?: readonly EventKind[]): Round[] {
  const plan = planRounds({ seed, hosts, ...(only ? { only } : {}) });
  return Array.from({ length: count }, () => plan.next().value);
}

describe('the plan of a chaos run', () => {
  it('is repeated by its seed, and a longer run begins like a shorter one', () => {
    expect(rounds(7, 50)).toEqual(rounds(7, 100).slice(0, 50));
  });

  it('differs from seed to seed', () => {
    const plans = new Set(Array.from({ length: 50 }, (_, seed) => JSON.stringify(rounds(seed, 20))));
    expect(plans.size).toBe(50);
  });

  it('leaves no kind of event, no host and no second failure out', () => {
    for (let seed = 0; seed < 20; seed++) {
      const plan = rounds(seed, 60);
      expect(new Set(plan.map(({ kind }) => kind))).toEqual(new Set(eventKinds));
      expect(new Set(plan.flatMap(({ target }) => ('host' in target ? [target.host] : [])))).toEqual(
        new Set(hosts),
      );
      for (const kind of ['power', 'cut', 'freeze'] as const) {
        const targets = plan.filter((round) => round.kind === kind).map(({ target }) => 'role' in target);
        expect(new Set(targets)).toEqual(new Set([true, false]));
      }
      expect(plan.some(({ second }) => second !== undefined)).toBe(true);
    }
  });

  it('never takes a second member of etcd away while one is missing', () => {
    for (let seed = 0; seed < 200; seed++) {
      for (const { kind, second } of rounds(seed, 100)) {
        if (!second) continue;
        expect(isOutage(kind)).toBe(true);
        expect(isOutage(second.kind) || second.kind === 'etcd').toBe(false);
      }
    }
  });

  it('heals every outage after a random while, and leaves peace between the rounds', () => {
    const plan = rounds(3, 500);
    for (const { kind, holdMs, calmMs } of plan) {
      expect(calmMs).toBeGreaterThanOrEqual(3_000);
      if (['power', 'cut', 'freeze', 'drain'].includes(kind)) expect(holdMs).toBeGreaterThanOrEqual(2_000);
      else expect(holdMs).toBe(0);
      expect(holdMs).toBeLessThanOrEqual(40_000);
    }
    expect(new Set(plan.map(({ holdMs }) => holdMs)).size).toBeGreaterThan(100);
  });

  it('keeps to the kinds that are asked for', () => {
    const plan = rounds(1, 40, ['etcd', 'cut']);
    expect(new Set(plan.map(({ kind }) => kind))).toEqual(new Set(['etcd', 'cut']));
  });

  it('strikes ganesha where it runs', () => {
    for (const { target } of rounds(2, 20, ['ganesha', 'ganesha-hang', 'file-server'])) {
      expect(target).toEqual({ role: 'server' });
    }
  });

  it('says what a round does', () => {
    const round: Round = {
      number: 1,
      calmMs: 3_000,
      kind: 'cut',
      target: { role: 'server' },
      holdMs: 12_340,
      second: { kind: 'manager', afterMs: 500 },
    };
    expect(describeRound(round)).toBe('cut on the server for 12.3 s, manager on the others 0.5 s later');
  });
});
