import { readdirSync, readFileSync } from 'node:fs';

/** What the kernel tells of a process at one moment. */
export interface Life {
  /** Processor time that it has had so far, in ticks of the kernel. */
  readonly ticks: number;
  /** One of its threads runs, wants to, or waits for a disk. */
  readonly awake: boolean;
}

/** @returns `undefined` when there is no such process any more. */
export function readLife(pid: number, proc = '/proc'): Life | undefined {
  try {
    const ticks = fieldsOf(`${proc}/${pid}/stat`);
    const threads = readdirSync(`${proc}/${pid}/task`);
    return {
      ticks: Number(ticks[11]) + Number(ticks[12]),
      awake: threads.some((thread) => /[RD]/.test(fieldsOf(`${proc}/${pid}/task/${thread}/stat`)[0] ?? '')),
    };
  } catch {
    // It, or one of its threads, ended between two looks.
    return undefined;
  }
}

/** The fields behind the program's name, which may hold anything: state first, then see proc_pid_stat(5). */
function fieldsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/**
 * Whether a process did nothing between two looks: one that is asleep although somebody called it in this time hangs or was
 * stopped; one that is merely slow, or gets no processor, does not look so.
 */
export function didNothing(before: Life | undefined, after: Life | undefined): boolean {
  return before !== undefined && after !== undefined && !after.awake && after.ticks === before.ticks;
}
