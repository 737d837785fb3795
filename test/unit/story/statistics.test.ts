import { describe, expect, it } from 'vitest';
import { summarise } from '../../lab/story/statistics.ts';

describe('a series of measurements', () => {
  it('has the middle value as its median', () => {
    expect(summarise([3, 1, 2])).toEqual({ runs: 3, median: 2, least: 1, most: 3 });
  });
  it('has the mean of the two middle values when their number is even', () => {
    expect(summarise([10, 1, 2, 3])).toEqual({ runs: 4, median: 2.5, least: 1, most: 10 });
  });
  it('is ordered by size, not as text', () => {
    expect(summarise([10, 9, 100]).median).toBe(10);
  });
  it('cannot be empty', () => {
    expect(() => summarise([])).toThrow(RangeError);
  });
});
