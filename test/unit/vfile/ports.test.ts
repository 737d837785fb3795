import { describe, expect, it } from 'vitest';
import { freePort, portCandidates } from '../../../src/vfile/ports.ts';

const range = { first: 20_490, count: 50 };

describe('ports of volumes', () => {
  it('every port of the range is tried once, whatever the start', () => {
    const tried = [...portCandidates('shared', range)];
    expect(new Set(tried).size).toBe(50);
    expect(Math.min(...tried)).toBe(20_490);
    expect(Math.max(...tried)).toBe(20_539);
  });

  it('the same name always starts at the same port, and names spread', () => {
    expect(portCandidates('a', range).next()).toEqual(portCandidates('a', range).next());
    const starts = new Set(Array.from({ length: 40 }, (_, i) => portCandidates(`v${i}`, range).next().value));
    expect(starts.size).toBeGreaterThan(15);
  });

  it('a taken port is passed over; a full range has none', () => {
    const [first, second] = portCandidates('a', range);
    expect(freePort('a', range, new Set([first ?? 0]))).toBe(second);
    expect(freePort('a', range, new Set(portCandidates('a', range)))).toBeUndefined();
  });
});
