import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import { type ServerStart, sameStart } from '../../../../src/vfile/node/decide-target.ts';
import { createStalls } from '../../../../src/vfile/node/stalls.ts';

describe('the time that a node is without a server', () => {
  const first = { address: '10.0.0.1', epoch: 1, instance: 1 };
  const second = { address: '10.0.0.2', epoch: 2, instance: 1 };

  /** A node whose server has answered; what is told to `resumed`. */
  const node = () => {
    const clock = new ManualClock();
    const told: [ServerStart, number][] = [];
    let answered = { server: first, at: clock.monotonic() };
    const silence = {
      lastAnswerBefore: (_volume: string, server: ServerStart | undefined) =>
        sameStart(answered.server, server) ? undefined : answered.at,
      lastAnswered: () => answered.server,
    };
    const stalls = createStalls({
      silence,
      clock,
      resumed: (_volume, server, ms) => told.push([server, ms]),
    });
    const answers = (server: ServerStart) => {
      answered = { server, at: clock.monotonic() };
    };
    return { clock, told, stalls, answers };
  };
  const gone = { serving: { known: true, server: undefined }, silent: false } as const;
  const silent = { serving: { known: true, server: first }, silent: true } as const;

  it('is counted from when its record was taken back, also when the next one has answered before it is aimed at', async () => {
    const { clock, told, stalls, answers } = node();
    await clock.advance(1_000);
    stalls.moving('v', gone);
    await clock.advance(2_000);
    answers(second);
    await clock.advance(100);
    stalls.aimed('v', second);
    expect(told).toEqual([[second, 2_100]]);
  });

  it('is counted from the last answer of one that fell silent', async () => {
    const { clock, told, stalls } = node();
    await clock.advance(3_000);
    stalls.moving('v', silent);
    await clock.advance(1_000);
    stalls.moving('v', gone);
    stalls.aimed('v', second);
    expect(told).toEqual([[second, 4_000]]);
  });

  it('is none of a failover when the same server is there again: this node was cut off', async () => {
    const { clock, told, stalls } = node();
    stalls.moving('v', silent);
    await clock.advance(1_000);
    stalls.aimed('v', first);
    expect(told).toEqual([]);
  });
});
