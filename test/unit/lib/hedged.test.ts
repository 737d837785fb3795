import { describe, expect, it } from 'vitest';
import { systemClock as clock } from '../../../src/lib/clock.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { hedged } from '../../../src/lib/hedged.ts';

const options = { everyMs: 5, againMs: 5, most: 3, forMs: 500, clock, signal: new AbortController().signal };
const hang = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

describe('hedged attempts', () => {
  it('one that hangs does not hold up the next, and is ended by its answer', async () => {
    const signals: AbortSignal[] = [];
    const answer = await hedged({
      ...options,
      attempt: async (signal) => {
        signals.push(signal);
        return signals.length < 3 ? await hang(signal) : 'third';
      },
    });
    expect(answer).toBe('third');
    expect(signals).toHaveLength(3);
    expect(signals.every((signal) => signal.aborted)).toBe(true);
  });

  it('an early attempt that answers late is as good', async () => {
    let letGo: (text: string) => void = () => undefined;
    const first = new Promise<string>((resolve) => {
      letGo = resolve;
    });
    let begun = 0;
    const answer = hedged({
      ...options,
      attempt: async (signal) => {
        begun += 1;
        if (begun === 3) letGo('first');
        return begun === 1 ? await first : await hang(signal);
      },
    });
    await expect(answer).resolves.toBe('first');
  });

  it('not more than so many at a time, and the last failure when time is over', async () => {
    const running = { now: 0, most: 0, begun: 0 };
    const attempt = async () => {
      running.now += 1;
      running.begun += 1;
      running.most = Math.max(running.most, running.now);
      await clock.sleep(20);
      running.now -= 1;
      throw new VolumeError('unavailable', 'nobody there');
    };
    await expect(hedged({ ...options, forMs: 120, attempt })).rejects.toThrow('nobody there');
    expect(running.begun).toBeGreaterThan(3);
    expect(running.most).toBeLessThanOrEqual(3);
  });

  it('one that fails is followed by the next without delay', async () => {
    let begun = 0;
    const answer = await hedged({
      ...options,
      everyMs: 60_000,
      attempt: async () => {
        begun += 1;
        if (begun < 3) throw new VolumeError('unavailable', 'nobody there');
        return 'third';
      },
    });
    expect(answer).toBe('third');
  });

  it('says so when nothing ended at all, and ends with its caller', async () => {
    await expect(hedged({ ...options, forMs: 30, attempt: hang })).rejects.toMatchObject({ code: 'timeout' });
    const stop = new AbortController();
    const ended = hedged({ ...options, signal: stop.signal, attempt: hang });
    stop.abort(new VolumeError('unavailable', 'enough'));
    await expect(ended).rejects.toThrow('enough');
  });
});
