import { checkCycle, checkEntries, checkLog, checkState } from './check-files.ts';
import { checkLedger } from './check-ledger.ts';
import { type Diary, lockKinds } from './diary.ts';
import type { VolumeContent } from './volume-content.ts';

export { type Diary, longestCall, longestStall, parseDiary } from './diary.ts';

/** What a run had to bear; without it everything that is out of order is a problem. */
export interface RunConditions {
  /**
   * Whether the server's power was cut. What was written but not yet acknowledged may have been seen by a reader and be gone
   * afterwards; the same holds for a local disk.
   */
  readonly powerCut?: boolean;
  /** Whether calls on this worker's host may have failed at this time (ms since 1970): it was cut off or stood still. */
  readonly mayFail?: (name: string, at: number) => boolean;
}

/**
 * What a reader sees never goes back, and it holds what was promised: a worker writes into the ledgers what had been
 * acknowledged to it, so whoever has read that line must find as much. Promises are what orders writes of one host before
 * reads of another without comparing their clocks.
 */
function checkReads({ name, seen }: Diary, { powerCut = false }: RunConditions): string[] {
  const newest = new Map<string, number>();
  const problems: string[] = [];
  for (const { kind, of, number, promised } of seen) {
    const before = newest.get(`${kind} ${of}`) ?? 0;
    if (number < promised) {
      problems.push(`${name}: saw ${kind} ${number} of ${of} although ${promised} had been acknowledged`);
    } else if (number < before && !powerCut) {
      problems.push(`${name}: saw ${kind} ${number} of ${of} after it had seen ${before}`);
    }
    newest.set(`${kind} ${of}`, number);
  }
  return problems;
}

/** A worker's own turns at one lock come in the order of their tickets. */
function checkTickets({ name, turns }: Diary): string[] {
  return lockKinds.flatMap((kind) => {
    const tickets = turns.filter(({ lock }) => lock === kind).map(({ ticket }) => ticket);
    return tickets.flatMap((ticket, at) => {
      const before = tickets[at - 1];
      if (before === undefined || ticket > before) return [];
      return [`${name}: got ${kind} ticket ${ticket} after ticket ${before}`];
    });
  });
}

/**
 * All that is wrong with a run: acknowledged records missing or doubled, torn lines, a lock held by two, a rename, a truncation or
 * a removal undone, a listing that is wrong, a reader that went back in time, failed calls. An empty list means that nothing
 * acknowledged was lost and that locks excluded one another.
 */
export function checkRun(
  diaries: readonly Diary[],
  content: VolumeContent,
  conditions: RunConditions = {},
): string[] {
  const { mayFail } = conditions;
  return [
    ...diaries.flatMap(({ name, errors }) =>
      errors.filter(({ at }) => !mayFail?.(name, at)).map(({ what }) => `${name}: a call failed: ${what}`),
    ),
    ...diaries.flatMap((diary) => [
      ...checkLog(diary, content),
      ...checkState(diary, content),
      ...checkCycle(diary, content),
      ...checkEntries(diary, content),
    ]),
    ...lockKinds.flatMap((kind) => checkLedger(kind, content.files.get(`turns.${kind}`) ?? '', diaries)),
    ...diaries.flatMap(checkTickets),
    ...diaries.flatMap((diary) => checkReads(diary, conditions)),
  ];
}
