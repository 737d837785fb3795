import { describe, expect, it } from 'vitest';
import {
  checkRun,
  longestCall,
  longestStall,
  parseDiary,
  type RunConditions,
} from '../../lab/story/check-run.ts';

const at = (seconds: number): string => String(BigInt(seconds * 1000) * 1_000_000n);
const summed = (body: string): string => `${body} ${[...Buffer.from(body)].reduce((s, byte) => s + byte, 0)}`;
const record = (name: string, seq: number): string => `${summed(`${name} ${seq} 1`)}\n`;
const mark = (what: string, ticket: number, name: string): string =>
  `${summed(`${what} ${ticket} ${name} 1 0 0 0`).padEnd(95)}\n`;
const section = (ticket: number, name: string): string =>
  mark('enter', ticket, name) + mark('leave', ticket, name);
const ack = (seq: number, second = seq): string => `ack ${seq} ${at(second)} ${at(second)}\n`;
const turn = (ticket: number, lock = 'flock'): string => `turn ${lock} ${ticket} ${at(1)} ${at(2)}\n`;

/** What is wrong with a run of these diaries that left these files behind. */
function problems(
  diaries: Record<string, string>,
  files: Record<string, string> = {},
  more: { entries?: string[]; conditions?: RunConditions } = {},
): string[] {
  return checkRun(
    Object.entries(diaries).map(([name, text]) => parseDiary(name, text)),
    { files: new Map(Object.entries(files)), entries: more.entries ?? [] },
    more.conditions,
  );
}

describe('records', () => {
  it('are right when each acknowledged one is there once; one that was not acknowledged may be', () => {
    const text = record('a', 1) + record('a', 2) + record('a', 3);
    expect(problems({ a: ack(1) + ack(2) }, { 'log.a': text })).toEqual([]);
  });

  it('are missing', () => {
    expect(problems({ a: ack(1) + ack(2) }, { 'log.a': record('a', 1) })).toEqual([
      'a: acknowledged record 2 is there 0 times',
    ]);
    expect(problems({ a: ack(1) })).toEqual([
      'a: 1 records were acknowledged, but its file is not in the volume',
    ]);
  });

  it('are doubled, also those that were not acknowledged', () => {
    const text = record('a', 1) + record('a', 2) + record('a', 2);
    expect(problems({ a: ack(1) }, { 'log.a': text })).toEqual(['a: record 2 comes after record 2']);
  });

  it('are torn or another one’s', () => {
    const text = `${record('a', 1)}a 2 1 99\n${record('b', 3)}`;
    expect(problems({ a: ack(1) }, { 'log.a': text })).toHaveLength(2);
  });
});

describe('the ledger of a lock', () => {
  const two = { a: turn(1) + turn(3), b: turn(2) };

  it('is right when the turns follow one another', () => {
    const ledger = section(1, 'a') + section(2, 'b') + section(3, 'a');
    expect(problems(two, { 'turns.flock': ledger })).toEqual([]);
  });

  it('shows who entered while another one was inside', () => {
    const ledger =
      section(1, 'a') +
      mark('enter', 2, 'b') +
      mark('enter', 3, 'a') +
      mark('leave', 2, 'b') +
      mark('leave', 3, 'a');
    expect(problems(two, { 'turns.flock': ledger })).toContain(
      'flock: a entered with ticket 3 while b was inside with ticket 2',
    );
  });

  it('shows a ticket that was given twice, as when both read the same last line', () => {
    const found = problems({ a: turn(1), b: turn(1) }, { 'turns.flock': section(1, 'a') + section(1, 'b') });
    expect(found).toEqual(['flock: ticket 1 was given to a and to b']);
  });

  it('shows a turn that was overwritten', () => {
    expect(problems({ a: turn(1), b: turn(1) }, { 'turns.flock': section(1, 'b') })).toContain(
      'flock: acknowledged line "enter" of a, ticket 1, is there 0 times',
    );
  });

  it('shows tickets that are missing or go back', () => {
    expect(problems({ a: turn(1) + turn(3) }, { 'turns.flock': section(1, 'a') + section(3, 'a') })).toEqual([
      'flock: ticket 3 was given after ticket 1',
    ]);
    expect(problems({ a: turn(2) + turn(1) }, { 'turns.flock': section(1, 'a') + section(2, 'a') })).toEqual([
      'a: got flock ticket 1 after ticket 2',
    ]);
  });

  it('allows that a worker died or lost contact inside its turn', () => {
    const ledger = mark('enter', 1, 'a') + section(2, 'b');
    expect(problems({ a: '', b: turn(2) }, { 'turns.flock': ledger })).toEqual([]);
  });

  it('does not allow that such a one goes on later', () => {
    const ledger = mark('enter', 1, 'a') + section(2, 'b') + mark('leave', 1, 'a');
    expect(problems({ a: '', b: turn(2) }, { 'turns.flock': ledger })).toEqual([
      'flock: a left with ticket 1 without having entered',
    ]);
  });

  it('shows a torn line, and keeps the two locks apart', () => {
    const files = { 'turns.flock': section(1, 'a'), 'turns.fcntl': `${'x'.repeat(95)}\n` };
    expect(problems({ a: turn(1) }, files)).toEqual([
      expect.stringContaining('fcntl: line 1 of the ledger is torn'),
    ]);
  });

  it('believes a worker that finds another one inside, unless it lost its lock and did not go on', () => {
    const files = { 'turns.flock': section(1, 'a') };
    expect(problems({ a: `robbed flock 1\n${turn(1)}` }, files)).toEqual([
      'flock: a with ticket 1 found another one inside its turn',
    ]);
    expect(problems({ a: 'robbed flock 1\n' }, { 'turns.flock': mark('enter', 1, 'a') })).toEqual([]);
  });
});

describe('what a reader sees', () => {
  const seen = (number: number, promised: number): string => `seen log a ${number} ${promised} 1\n`;

  it('may not go back', () => {
    expect(problems({ b: seen(5, 0) + seen(4, 0) })).toEqual(['b: saw log 4 of a after it had seen 5']);
  });

  it('may go back after a power cut, but never behind what was acknowledged', () => {
    const conditions = { powerCut: true };
    expect(problems({ b: seen(5, 4) + seen(4, 4) }, {}, { conditions })).toEqual([]);
    expect(problems({ b: seen(5, 4) + seen(3, 4) }, {}, { conditions })).toEqual([
      'b: saw log 3 of a although 4 had been acknowledged',
    ]);
  });
});

describe('renamed, truncated and listed files', () => {
  it('a version that was put in place is there', () => {
    const state = (version: number): Record<string, string> => ({ 'state.a': `${summed(`a ${version}`)}\n` });
    expect(problems({ a: 'put 4\n' }, state(4))).toEqual([]);
    expect(problems({ a: 'put 4\n' }, state(5))).toEqual([]);
    expect(problems({ a: 'put 4\n' }, state(3))).toHaveLength(1);
    expect(problems({ a: 'put 4\n' })).toHaveLength(1);
    expect(problems({ a: 'put 4\n' }, { 'state.a': 'a 4 1' })).toHaveLength(1);
  });

  it('a truncated file holds the newest generation alone', () => {
    const lines = (...generations: number[]): Record<string, string> => ({
      'cycle.a': generations.map((one, index) => `${summed(`a ${one} ${index}`)}\n`).join(''),
    });
    expect(problems({ a: 'cutting 2\ncut 2\n' }, lines(2, 2))).toEqual([]);
    expect(problems({ a: 'cutting 2\ncut 2\n' }, lines(1))).toHaveLength(1);
    expect(problems({ a: 'cutting 2\ncut 2\n' }, lines(1, 2))).toHaveLength(1);
    expect(problems({ a: 'cutting 2\ncut 2\n' }, { 'cycle.a': '' })).toHaveLength(1);
    expect(problems({ a: 'cutting 2\ncut 2\ncutting 3\n' }, { 'cycle.a': '' })).toEqual([]);
  });

  it('entries are listed from being made until they are about to be removed', () => {
    const diary = 'made 1\nmade 2\nlist 1,2\ndrop 1\nlist 1,2\ngone 1\nlist 2\n';
    expect(problems({ a: diary }, {}, { entries: ['a.2'] })).toEqual([]);
    expect(problems({ a: diary }, {}, { entries: ['a.1', 'a.2'] })).toHaveLength(1);
    expect(problems({ a: diary }, {}, { entries: [] })).toHaveLength(1);
    expect(problems({ a: 'made 1\nlist -\n' }, {}, { entries: ['a.1'] })).toEqual([
      'a: entry 1 is missing in its own listing',
    ]);
  });
});

describe('a diary', () => {
  it('reports failed calls, except when its host could not do better', () => {
    const diary = { a: `error ${at(3)} fsync log Input/output error\n` };
    expect(problems(diary)).toEqual(['a: a call failed: fsync log Input/output error']);
    const mayFail = (name: string, ms: number): boolean => name === 'a' && ms === 3_000;
    expect(problems(diary, {}, { conditions: { mayFail } })).toEqual([]);
  });

  it('takes a last line that was cut short as not written', () => {
    expect(parseDiary('a', `${ack(1)}ack 2 17`).acks).toHaveLength(1);
  });

  it('has not ended when the worker was started again', () => {
    expect(parseDiary('a', 'end 1\n').ended).toBe(true);
    expect(parseDiary('a', 'end 1\nstart 2\n').ended).toBe(false);
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

describe('longestCall', () => {
  it('is the longest of all that ended after the event, waiting for a lock left out', () => {
    const text = `ack 1 ${at(1)} ${at(2)}\nack 2 ${at(2)} ${at(5)}\nturn flock 1 ${at(20)} ${at(22)}\n`;
    const diary = parseDiary('a', `${text}did ${at(22)} ${at(26)}\n`);
    expect(longestCall(diary, 4_000)).toBe(4_000);
    expect(longestCall(parseDiary('a', text), 4_000)).toBe(3_000);
    expect(longestCall(parseDiary('a', text), 6_000)).toBe(2_000);
  });

  it('is unknown when nothing ended any more', () => {
    expect(longestCall(parseDiary('a', ack(1, 1)), 4_000)).toBeUndefined();
  });
});
