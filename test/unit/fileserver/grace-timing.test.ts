import { describe, expect, it } from 'vitest';
import { graceLookMs, holdBackMs } from '../../../src/fileserver/grace-timing.ts';

describe('when clients should come to a server in grace', () => {
  it.each([
    [2, 1_000, 400],
    [5, 2_000, 600],
    [7, 3_000, 0],
    [8, 4_000, 1_000],
    [15, 7_000, 800],
    [90, 10_000, 0],
  ])(
    'with a lease of %i s ganesha looks every %i ms, and they come %i ms after its start',
    (lease, look, hold) => {
      expect(graceLookMs(lease)).toBe(look);
      expect(holdBackMs(lease)).toBe(hold);
    },
  );
});
