/** What one worker was acknowledged, from its diary. Times are ms since 1970 with fractions. */
export interface Diary {
  readonly name: string;
  readonly acks: readonly { seq: number; start: number; end: number }[];
  readonly turns: readonly { ticket: number; enter: number; leave: number }[];
  readonly seen: readonly { of: string; count: number; at: number }[];
  readonly errors: readonly string[];
  readonly ended: boolean;
}

/** A worker's file in the volume, whole lines. */
export interface VolumeLog {
  readonly name: string;
  readonly text: string;
}

const ms = (ns: string | undefined): number => Number(BigInt(ns ?? '0') / 1000n) / 1000;

/** Reads a diary written by `worker.pl`. A last line cut short by a power cut is no entry. */
export function parseDiary(name: string, text: string): Diary {
  const acks: { seq: number; start: number; end: number }[] = [];
  const turns: { ticket: number; enter: number; leave: number }[] = [];
  const seen: { of: string; count: number; at: number }[] = [];
  const errors: string[] = [];
  let ended = false;
  for (const line of text.split('\n').slice(0, -1)) {
    const [what, a, b, c] = line.split(' ');
    if (what === 'ack') acks.push({ seq: Number(a), start: ms(b), end: ms(c) });
    else if (what === 'turn') turns.push({ ticket: Number(a), enter: ms(b), leave: ms(c) });
    else if (what === 'seen') seen.push({ of: a ?? '', count: Number(b), at: ms(c) });
    else if (what === 'error') errors.push(line.slice(6));
    else if (what === 'end') ended = true;
  }
  return { name, acks, turns, seen, errors, ended };
}

function checkLog(diary: Diary, log: VolumeLog | undefined): string[] {
  if (diary.acks.length === 0) return [];
  if (!log)
    return [
      `${diary.name}: ${diary.acks.length} records were acknowledged, but its file is not in the volume`,
    ];
  const problems: string[] = [];
  const times = new Map<number, number>();
  for (const line of log.text.split('\n').slice(0, -1)) {
    const body = line.slice(0, line.lastIndexOf(' '));
    const sum = [...Buffer.from(body)].reduce((total, byte) => total + byte, 0);
    const [name, seq] = body.split(' ');
    if (name !== log.name || String(sum) !== line.slice(line.lastIndexOf(' ') + 1)) {
      problems.push(`${log.name}: a record is torn or foreign: ${JSON.stringify(line.slice(0, 80))}`);
    } else {
      times.set(Number(seq), (times.get(Number(seq)) ?? 0) + 1);
    }
  }
  for (const { seq } of diary.acks) {
    const count = times.get(seq) ?? 0;
    if (count !== 1) problems.push(`${diary.name}: acknowledged record ${seq} is there ${count} times`);
  }
  return problems;
}

/**
 * By so much, in ms, the clocks of two hosts of the lab may differ: each kernel keeps its own. A shorter overlap of two turns
 * proves nothing by itself; two holders at once would also show in the tickets, which need no clock.
 */
const clockToleranceMs = 100;

function checkLocks(diaries: readonly Diary[]): string[] {
  const turns = diaries.flatMap((d) => d.turns.map((turn) => ({ ...turn, name: d.name })));
  turns.sort((x, y) => x.enter - y.enter);
  const problems: string[] = [];
  const tickets = new Map<number, string>();
  for (const { name, turns: own } of diaries) {
    // One host, one clock: here the order needs no tolerance.
    for (const [at, turn] of own.entries()) {
      const before = own[at - 1];
      if (before && turn.ticket <= before.ticket) {
        problems.push(`${name}: got ticket ${turn.ticket} after ticket ${before.ticket}`);
      }
    }
  }
  let last: (typeof turns)[number] | undefined;
  for (const turn of turns) {
    const earlier = tickets.get(turn.ticket);
    if (earlier) problems.push(`ticket ${turn.ticket} was given to ${earlier} and to ${turn.name}`);
    tickets.set(turn.ticket, turn.name);
    if (last && turn.enter < last.leave - clockToleranceMs) {
      problems.push(
        `${turn.name} got the lock (ticket ${turn.ticket}) while ${last.name} held it (ticket ${last.ticket})`,
      );
    }
    if (last && turn.ticket < last.ticket && turn.enter > last.leave + clockToleranceMs) {
      problems.push(`the counter under the lock went back from ${last.ticket} to ${turn.ticket}`);
    }
    if (!last || turn.leave > last.leave) last = turn;
  }
  return problems;
}

function checkReads(diary: Diary): string[] {
  const counts = new Map<string, number>();
  const problems: string[] = [];
  for (const { of, count } of diary.seen) {
    const before = counts.get(of) ?? 0;
    if (count < before)
      problems.push(`${diary.name}: saw ${count} records of ${of} after it had seen ${before}`);
    counts.set(of, count);
  }
  return problems;
}

/**
 * All that is wrong with a run: acknowledged records missing or doubled, torn records, a lock held by two, a counter or
 * a reader that went back in time, failed calls. An empty list means that nothing acknowledged was lost.
 */
export function checkRun(diaries: readonly Diary[], logs: readonly VolumeLog[]): string[] {
  return [
    ...diaries.flatMap((d) => d.errors.map((error) => `${d.name}: a call failed: ${error}`)),
    ...diaries.flatMap((d) =>
      checkLog(
        d,
        logs.find((log) => log.name === d.name),
      ),
    ),
    ...checkLocks(diaries),
    ...diaries.flatMap(checkReads),
  ];
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
