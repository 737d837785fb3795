import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/clock.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';

describe.each([
  { name: 'the system’s clock', clock: systemClock },
  { name: 'a clock of tests', clock: new ManualClock() },
])('$name', ({ clock }) => {
  it.each(['before', 'while'])('says why a sleep was called off, %s it sleeps', async (when) => {
    const over = new AbortController();
    const why = new Error('the caller hung up');
    if (when === 'before') over.abort(why);
    const sleep = clock.sleep(60_000, over.signal);
    over.abort(why);
    await expect(sleep).rejects.toBe(why);
  });
});
