/** What one worker was acknowledged and what it saw, from its diary. Times are ms since 1970 by its host's clock. */
export interface Diary {
  readonly name: string;
  /** Records written and synced. */
  readonly acks: readonly { seq: number; start: number; end: number }[];
  /** From begin to end of everything that it did, except for waiting until a lock was free. */
  readonly calls: readonly { start: number; end: number }[];
  /** Turns under a lock that ended as they should. */
  readonly turns: readonly Turn[];
  /** Turns inside which it found that another one had entered. */
  readonly robbed: readonly { lock: LockKind; ticket: number }[];
  /** What it saw of other workers, in this order. */
  readonly seen: readonly Sight[];
  /** Newest version that was put in place by rename. */
  readonly put: number;
  /** Newest generation of the truncated file that was asked for, and that was acknowledged to have begun. */
  readonly cutting: number;
  readonly cut: number;
  /** What became of its entries and how it saw them listed, in this order. */
  readonly entries: readonly EntryEvent[];
  /** Requests that were found done when they were sent again: the answer was lost with the server. */
  readonly repeated: readonly string[];
  readonly errors: readonly { at: number; what: string }[];
  readonly ended: boolean;
}

/** The two kinds of locks that programs use; each has a ledger of its own. */
export const lockKinds = ['flock', 'fcntl'] as const;
export type LockKind = (typeof lockKinds)[number];

/** One turn under a lock. */
export interface Turn {
  readonly lock: LockKind;
  readonly ticket: number;
  readonly enter: number;
  readonly leave: number;
}

/** What a worker saw of another one: the newest number of a kind, and which number it had been promised to find. */
export interface Sight {
  readonly kind: string;
  readonly of: string;
  readonly number: number;
  readonly promised: number;
}

/** `drop`: about to be removed, so from here on it may be gone or not. */
export type EntryEvent =
  | { readonly what: 'made' | 'drop' | 'gone'; readonly number: number }
  | { readonly what: 'list'; readonly numbers: readonly number[] };

const ms = (ns: string | undefined): number => Number(BigInt(ns ?? '0') / 1000n) / 1000;
const lockOf = (text: string | undefined): LockKind => (text === 'fcntl' ? 'fcntl' : 'flock');
const numbersOf = (text: string | undefined): number[] =>
  text === undefined || text === '-' ? [] : text.split(',').map(Number);

/** Reads a diary written by `worker.pl`. A last line cut short by a power cut is no entry. */
export function parseDiary(name: string, text: string): Diary {
  const acks: { seq: number; start: number; end: number }[] = [];
  const calls: { start: number; end: number }[] = [];
  const turns: Turn[] = [];
  const robbed: { lock: LockKind; ticket: number }[] = [];
  const seen: Sight[] = [];
  const entries: EntryEvent[] = [];
  const repeated: string[] = [];
  const errors: { at: number; what: string }[] = [];
  let [put, cutting, cut, ended] = [0, 0, 0, false];
  for (const line of text.split('\n').slice(0, -1)) {
    const [what = '', a, b, c, d] = line.split(' ');
    if (what === 'did') calls.push({ start: ms(a), end: ms(b) });
    else if (what === 'ack') acks.push({ seq: Number(a), start: ms(b), end: ms(c) });
    else if (what === 'turn') turns.push({ lock: lockOf(a), ticket: Number(b), enter: ms(c), leave: ms(d) });
    else if (what === 'robbed') robbed.push({ lock: lockOf(a), ticket: Number(b) });
    else if (what === 'seen')
      seen.push({ kind: a ?? '', of: b ?? '', number: Number(c), promised: Number(d) });
    else if (what === 'put') put = Number(a);
    else if (what === 'cutting') cutting = Number(a);
    else if (what === 'cut') cut = Number(a);
    else if (what === 'made' || what === 'drop' || what === 'gone') entries.push({ what, number: Number(a) });
    else if (what === 'list') entries.push({ what, numbers: numbersOf(a) });
    else if (what === 'error') errors.push({ at: ms(a), what: line.split(' ').slice(2).join(' ') });
    else if (what === 'again') repeated.push(a ?? '');
    else if (what === 'start') ended = false;
    else if (what === 'end') ended = true;
  }
  calls.push(...acks, ...turns.map(({ enter, leave }) => ({ start: enter, end: leave })));
  return { name, acks, calls, turns, robbed, seen, put, cutting, cut, entries, repeated, errors, ended };
}

/**
 * The longest time in ms that a worker went without an acknowledged record, looking at acknowledgements after `from` (ms
 * since 1970): the stall that its user saw. `undefined` when nothing was acknowledged after `from`.
 */
export function longestStall(diary: Diary, from: number): number | undefined {
  const ends = diary.acks.map((ack) => ack.end);
  const after = ends.filter((end) => end >= from);
  if (after.length === 0) return undefined;
  let last = Math.max(from, ...ends.filter((end) => end < from).slice(-1));
  let longest = 0;
  for (const end of after) {
    longest = Math.max(longest, end - last);
    last = end;
  }
  return longest;
}

/**
 * The longest time in ms that one thing took a worker which ended after `from` (ms since 1970), waits for locks that others
 * held left out: a client whose lock is refused asks again after 1, 2, 4 ... s, which is no stall of the file system.
 * `undefined` when nothing ended after `from`.
 */
export function longestCall({ calls }: Diary, from: number): number | undefined {
  const after = calls.filter(({ end }) => end >= from).map(({ start, end }) => end - start);
  return after.length === 0 ? undefined : Math.max(...after);
}
