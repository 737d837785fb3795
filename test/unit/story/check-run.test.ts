import { describe, expect, it } from 'vitest';
import { checkRun, longestStall, parseDiary } from '../../lab/story/check-run.ts';

const at = (seconds: number): string => String(BigInt(seconds * 1000) * 1_000_000n);
const record = (name: string, seq: number): string => {
  const body = `${name} ${seq} 1`;
  return `${body} ${[...Buffer.from(body)].reduce((sum, byte) => sum + byte, 0)}\n`;
};
const ack = (seq: number, second = seq): string => `ack ${seq} ${at(second)} ${at(second)}\n`;
const turn = (ticket: number, enter: number, leave: number): string =>
  `turn ${ticket} ${at(enter)} ${at(leave)}\n`;

describe('checkRun', () => {
  it('finds nothing in a right run', () => {
    const a = parseDiary('a', ack(1) + turn(1, 1, 2) + ack(2) + turn(3, 5, 6));
    const b = parseDiary('b', `${turn(2, 3, 4)}seen a 1 ${at(3)}\nseen a 2 ${at(7)}\n`);
    expect(checkRun([a, b], [{ name: 'a', text: record('a', 1) + record('a', 2) }])).toEqual([]);
  });

  it('catches an acknowledged record that is missing', () => {
    expect(checkRun([parseDiary('a', ack(1) + ack(2))], [{ name: 'a', text: record('a', 1) }])).toEqual([
      'a: acknowledged record 2 is there 0 times',
    ]);
  });

  it('catches a record that is there twice', () => {
    const text = record('a', 1) + record('a', 1);
    expect(checkRun([parseDiary('a', ack(1))], [{ name: 'a', text }])).toHaveLength(1);
  });

  it('allows a record that is there but was never acknowledged', () => {
    const text = record('a', 1) + record('a', 2);
    expect(checkRun([parseDiary('a', ack(1))], [{ name: 'a', text }])).toEqual([]);
  });

  it('catches a torn record', () => {
    const text = `${record('a', 1)}a 2 1 99\n`;
    expect(checkRun([parseDiary('a', ack(1))], [{ name: 'a', text }])).toEqual([
      'a: a record is torn or foreign: "a 2 1 99"',
    ]);
  });

  it('catches a file that is missing as a whole', () => {
    expect(checkRun([parseDiary('a', ack(1))], [])).toHaveLength(1);
  });

  it('catches two holders of one lock', () => {
    const problems = checkRun([parseDiary('a', turn(1, 1, 3)), parseDiary('b', turn(2, 2, 4))], []);
    expect(problems).toEqual(['b got the lock (ticket 2) while a held it (ticket 1)']);
  });

  it('catches a ticket given twice, as when a lock was lost between two reads', () => {
    const problems = checkRun([parseDiary('a', turn(1, 1, 2)), parseDiary('b', turn(1, 3, 4))], []);
    expect(problems).toEqual(['ticket 1 was given to a and to b']);
  });

  it('catches a counter that goes back for one holder, however soon', () => {
    const problems = checkRun([parseDiary('a', turn(5, 1, 1) + turn(4, 1, 1))], []);
    expect(problems).toContain('a: got ticket 4 after ticket 5');
  });

  it('catches a reader that goes back in time', () => {
    const b = parseDiary('b', `seen a 5 ${at(1)}\nseen a 4 ${at(2)}\n`);
    expect(checkRun([b], [])).toEqual(['b: saw 4 records of a after it had seen 5']);
  });

  it('reports failed calls', () => {
    expect(checkRun([parseDiary('a', 'error fsync Input/output error\n')], [])).toEqual([
      'a: a call failed: fsync Input/output error',
    ]);
  });

  it('takes a last line that was cut short as not written', () => {
    expect(parseDiary('a', `${ack(1)}ack 2 17`).acks).toHaveLength(1);
  });
});

describe('longestStall', () => {
  it('is the longest gap between acknowledgements after the event', () => {
    const diary = parseDiary('a', ack(1, 1) + ack(2, 2) + ack(3, 9) + ack(4, 10));
    expect(longestStall(diary, 4_000)).toBe(5_000);
    expect(longestStall(diary, 1_500)).toBe(7_000);
  });

  it('is unknown when nothing was acknowledged any more', () => {
    expect(longestStall(parseDiary('a', ack(1, 1)), 4_000)).toBeUndefined();
  });
});
