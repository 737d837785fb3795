import type { Diary } from './diary.ts';
import { checkedFields, shown, type VolumeContent } from './volume-content.ts';

const linesOf = (text: string | undefined): string[] => {
  const lines = (text ?? '').split('\n');
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
};

/** Each acknowledged record is there exactly once, whole, and in the order in which they were written. */
export function checkLog(diary: Diary, { files }: VolumeContent): string[] {
  const { name, acks } = diary;
  if (acks.length === 0) return [];
  const text = files.get(`log.${name}`);
  if (text === undefined) {
    return [`${name}: ${acks.length} records were acknowledged, but its file is not in the volume`];
  }
  const problems: string[] = [];
  const times = new Map<number, number>();
  let last = 0;
  for (const line of linesOf(text)) {
    const [who, number] = checkedFields(line) ?? [];
    if (who !== name || number === undefined) {
      problems.push(`${name}: a record is torn or foreign: ${shown(line)}`);
      continue;
    }
    const seq = Number(number);
    if (seq <= last) problems.push(`${name}: record ${seq} comes after record ${last}`);
    last = seq;
    times.set(seq, (times.get(seq) ?? 0) + 1);
  }
  for (const { seq } of acks) {
    const count = times.get(seq) ?? 0;
    if (count !== 1) problems.push(`${name}: acknowledged record ${seq} is there ${count} times`);
  }
  return problems;
}

/** The newest version that was renamed into place is there, whole. */
export function checkState({ name, put }: Diary, { files }: VolumeContent): string[] {
  if (put === 0) return [];
  const text = files.get(`state.${name}`);
  if (text === undefined) return [`${name}: version ${put} was put in place, but its file is not there`];
  const [who, version] = checkedFields(text) ?? [];
  if (who !== name) return [`${name}: the file that is replaced by rename is torn: ${shown(text)}`];
  if (Number(version) >= put) return [];
  return [`${name}: the file is of version ${version}, but version ${put} was put in place`];
}

/** A file that is truncated again and again holds lines of one generation only, the newest that was acknowledged. */
export function checkCycle({ name, cutting, cut }: Diary, { files }: VolumeContent): string[] {
  const text = files.get(`cycle.${name}`);
  // A worker whose host died between truncation and the first line leaves it empty.
  if (cut === 0 || (cutting > cut && text === '')) return [];
  const problems: string[] = [];
  const generations = new Set<number>();
  let last = -1;
  for (const line of linesOf(text)) {
    const [who, generation, at] = checkedFields(line) ?? [];
    if (who !== name) problems.push(`${name}: a line of the truncated file is torn: ${shown(line)}`);
    else if (Number(at) <= last) problems.push(`${name}: line ${at} of the truncated file follows ${last}`);
    generations.add(Number(generation));
    last = Number(at);
  }
  const [generation] = generations;
  if (generations.size > 1) {
    problems.push(`${name}: the truncated file holds lines from before: ${[...generations].join(', ')}`);
  } else if ((generation ?? 0) < cut) {
    problems.push(`${name}: the truncated file is of generation ${generation}, but ${cut} had begun`);
  }
  return problems;
}

/** Entries that were made are listed until they are about to be removed, and not any more once they are removed. */
export function checkEntries({ name, entries }: Diary, content: VolumeContent): string[] {
  const problems: string[] = [];
  const must = new Set<number>();
  const mustNot = new Set<number>();
  const compare = (listed: ReadonlySet<number>, when: string): void => {
    for (const number of must) {
      if (!listed.has(number)) problems.push(`${name}: entry ${number} is missing ${when}`);
    }
    for (const number of listed) {
      if (mustNot.has(number)) problems.push(`${name}: entry ${number} was removed and is there ${when}`);
    }
  };
  for (const event of entries) {
    if (event.what === 'list') compare(new Set(event.numbers), 'in its own listing');
    else if (event.what === 'made') must.add(event.number);
    else if (event.what === 'drop') must.delete(event.number);
    else mustNot.add(event.number);
  }
  const own = content.entries.filter((file) => file.startsWith(`${name}.`));
  compare(new Set(own.map((file) => Number(file.slice(name.length + 1)))), 'at the end');
  return problems;
}
