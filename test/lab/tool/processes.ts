import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What /proc says about one process. */
export interface ProcessInfo {
  readonly pid: number;
  /** One letter as in proc(5): R, S, D, T (stopped), t (traced), Z. */
  readonly state: string;
  readonly parent: number;
  /** Clock ticks since boot, as text. */
  readonly startTime: string;
}

/** The process, or undefined when there is none of this ID. */
export function processInfo(pid: number): ProcessInfo | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The name in parentheses may hold anything, so fields are counted from the last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, parent] = fields;
  const startTime = fields[19];
  if (state === undefined || parent === undefined || startTime === undefined) return undefined;
  return { pid, state, parent: Number(parent), startTime };
}

/** Whether this very process still runs (a zombie does not). */
export function isAlive(pid: number, startTime: string): boolean {
  const info = processInfo(pid);
  return info !== undefined && info.startTime === startTime && info.state !== 'Z' && info.state !== 'X';
}

/** Direct children of a process. */
export function childrenOf(pid: number): number[] {
  const text = readText(`/proc/${pid}/task/${pid}/children`);
  return text === undefined ? [] : text.trim().split(' ').filter(Boolean).map(Number);
}

/** All processes in the PID namespace of this process. */
export function namespacePeers(pid: number): number[] {
  const namespace = readLink(`/proc/${pid}/ns/pid`);
  if (namespace === undefined) return [];
  return allPids().filter((peer) => readLink(`/proc/${peer}/ns/pid`) === namespace);
}

/** Whether another process traces this one; such a process does nothing that its tracer does not let it do. */
export function isTraced(pid: number): boolean {
  return /^TracerPid:\t[1-9]/m.test(readText(`/proc/${pid}/status`) ?? '');
}

/** Sends a signal; false when the process is gone. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function readLink(file: string): string | undefined {
  try {
    return readlinkSync(file);
  } catch {
    return undefined;
  }
}
