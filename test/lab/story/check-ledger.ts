import type { Diary, LockKind } from './diary.ts';
import { checkedFields, shown } from './volume-content.ts';

/** Bytes of a line in a ledger, its end included; the same as in `worker.pl`. */
const width = 96;

interface Section {
  readonly ticket: number;
  readonly name: string;
}

interface Mark extends Section {
  readonly what: 'enter' | 'leave';
}

function marksOf(kind: LockKind, text: string, problems: string[]): Mark[] {
  const marks: Mark[] = [];
  for (let at = 0; at < text.length; at += width) {
    const line = text.slice(at, at + width);
    const [what, ticket, name] = (line.endsWith('\n') ? checkedFields(line) : undefined) ?? [];
    if ((what === 'enter' || what === 'leave') && ticket !== undefined && name !== undefined) {
      marks.push({ what, ticket: Number(ticket), name });
    } else {
      problems.push(`${kind}: line ${at / width + 1} of the ledger is torn: ${shown(line)}`);
    }
  }
  return marks;
}

const key = ({ name, ticket }: Section): string => `${name} ${ticket}`;

function checkOrder(kind: LockKind, marks: readonly Mark[], acknowledged: ReadonlySet<string>): string[] {
  const problems: string[] = [];
  const owners = new Map<number, string>();
  let last = 0;
  let inside: Section | undefined;
  for (const mark of marks) {
    const { name, ticket } = mark;
    if (mark.what === 'leave') {
      if (!inside || key(inside) !== key(mark)) {
        const now = inside
          ? `while ${inside.name} was inside with ticket ${inside.ticket}`
          : 'without having entered';
        problems.push(`${kind}: ${name} left with ticket ${ticket} ${now}`);
      } else inside = undefined;
      continue;
    }
    // Who died or lost contact inside its turn has not left it; who was acknowledged its turn has.
    if (inside && acknowledged.has(key(inside))) {
      const held = `${inside.name} was inside with ticket ${inside.ticket}`;
      problems.push(`${kind}: ${name} entered with ticket ${ticket} while ${held}`);
    }
    const owner = owners.get(ticket);
    if (owner !== undefined) problems.push(`${kind}: ticket ${ticket} was given to ${owner} and to ${name}`);
    else if (ticket !== last + 1) problems.push(`${kind}: ticket ${ticket} was given after ticket ${last}`);
    owners.set(ticket, name);
    last = ticket;
    inside = mark;
  }
  return problems;
}

/**
 * Whether at most one worker at a time was inside its turn under a lock, proved by the lock's ledger alone.
 *
 * Inside its turn a worker reads the ledger's last line, takes the next ticket, appends `enter`, syncs it, reads the end of the
 * ledger again from the server and appends `leave`. So the ledger holds the order in which the *shared file system* saw the
 * turns begin and end, which is the order that matters to the data that a lock protects. If two workers were inside at once, then
 * either one's `enter` lies between the other's two lines, or they read the same last line and took the same ticket, or they
 * wrote at the same place and one's lines are missing although its turn was acknowledged. No host's clock takes part, so
 * none has to agree with another. What this does not see is a lock that was granted too soon to somebody who then did nothing
 * until it was free; that has harmed no data.
 */
export function checkLedger(kind: LockKind, text: string, diaries: readonly Diary[]): string[] {
  const problems: string[] = [];
  const marks = marksOf(kind, text, problems);
  const turns = diaries.flatMap(({ name, turns: own }) =>
    own.filter(({ lock }) => lock === kind).map(({ ticket }) => ({ name, ticket })),
  );
  problems.push(...checkOrder(kind, marks, new Set(turns.map(key))));
  const written = new Map<string, number>();
  for (const mark of marks) {
    const line = `${mark.what} ${key(mark)}`;
    written.set(line, (written.get(line) ?? 0) + 1);
  }
  for (const turn of turns) {
    for (const what of ['enter', 'leave']) {
      const count = written.get(`${what} ${key(turn)}`) ?? 0;
      if (count === 1) continue;
      problems.push(
        `${kind}: acknowledged line "${what}" of ${turn.name}, ticket ${turn.ticket}, is there ${count} times`,
      );
    }
  }
  for (const { name, robbed, turns: own } of diaries) {
    for (const { lock, ticket } of robbed.filter((one) => one.lock === kind)) {
      // A host that was out of contact for longer than a lease has lost its locks; then it must not have gone on.
      if (!own.some((turn) => turn.lock === lock && turn.ticket === ticket)) continue;
      problems.push(`${kind}: ${name} with ticket ${ticket} found another one inside its turn`);
    }
  }
  return problems;
}
