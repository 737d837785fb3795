import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { VolumeError } from './errors.ts';

/** How a child process is run. Arguments are an array; there is never a shell. */
export interface RunOptions {
  /** Deadline in ms: TERM then, KILL 2 s later. */
  timeoutMs: number;
  signal?: AbortSignal;
  /** Written to standard input. */
  input?: string;
  env?: Readonly<Record<string, string>>;
  /** Exit codes that are no error; default only 0. */
  okCodes?: readonly number[];
  /** A file that is open as long as the program runs, whatever becomes of this process. */
  hold?: HeldFile;
}

/** See `RunOptions.hold`. */
export interface HeldFile {
  readonly descriptor: number;
  /** Called as soon as the program has the file too: the descriptor may be closed here. Not when none was started. */
  taken(): void;
}

/** What a child process left behind. */
export interface RunResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs programs, in place or by others that do (`kept-programs.ts`); a seam so that unit tests need none. */
export type Run = (file: string, args: readonly string[], options: RunOptions) => Promise<RunResult>;

function collect(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return () => text.replace(/\n$/, '');
}

/** Why a program was told to end before it had ended by itself. */
export type Stopped = 'deadline' | 'cancelled';

/** How a program ended. */
export interface Ended extends Omit<RunResult, 'exitCode'> {
  readonly exitCode: number | null;
  readonly endedBy: NodeJS.Signals | null;
  readonly stopped: Stopped | undefined;
}

/** @returns what a caller of `run` gets. @throws VolumeError as `run`. */
export function judge(
  what: string,
  { exitCode, endedBy, stopped, stdout, stderr }: Ended,
  { timeoutMs, okCodes = [0] }: RunOptions,
): RunResult {
  if (stopped === 'deadline') {
    throw new VolumeError('timeout', `${what}: not finished after ${timeoutMs} ms, stopped`);
  }
  if (stopped === 'cancelled' || exitCode === null) {
    throw new VolumeError('internal', `${what}: ${stopped ?? `ended by ${endedBy}`}`);
  }
  if (!okCodes.includes(exitCode)) {
    const tail = stderr.split('\n').slice(-5).join('; ').trim();
    throw new VolumeError('internal', `${what}: exit code ${exitCode}${tail ? `: ${tail}` : ''}`);
  }
  return { exitCode, stdout, stderr };
}

/** ms between the request to end and the order to. */
export const killAfterMs = 2_000;

/**
 * Runs a program to its end.
 * @throws VolumeError `timeout` after the deadline, `unavailable` when the program is missing, else `internal`
 *   with the end of what it wrote to standard error.
 */
export const run: Run = (file, args, options) =>
  new Promise((resolve, reject) => {
    const { timeoutMs, signal, input, env, hold } = options;
    const what = `${file} ${args.join(' ')}`;
    // The types know a child with all three streams only without descriptors beside them.
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe', ...(hold ? [hold.descriptor] : [])],
      ...(env ? { env: { ...process.env, ...env } } : {}),
    }) as ChildProcessWithoutNullStreams;
    hold?.taken();
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    // A program that ends without reading its input is judged by its exit code.
    child.stdin.on('error', () => undefined).end(input ?? '');

    let stopped: Stopped | undefined;
    let kill: NodeJS.Timeout | undefined;
    const stop = (why: Stopped): void => {
      if (stopped) return;
      stopped = why;
      child.kill('SIGTERM');
      kill = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    };
    const deadline = setTimeout(stop, timeoutMs, 'deadline');
    const cancel = (): void => stop('cancelled');
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    const settle = (): void => {
      clearTimeout(deadline);
      clearTimeout(kill);
      signal?.removeEventListener('abort', cancel);
    };

    child.once('error', (cause: NodeJS.ErrnoException) => {
      settle();
      const code = cause.code === 'ENOENT' ? 'unavailable' : 'internal';
      reject(new VolumeError(code, `${what}: could not be run: ${cause.message}`, { cause }));
    });
    // What it started itself may hold its output open for ever.
    child.once('exit', () => {
      if (!stopped) return;
      child.stdout.destroy();
      child.stderr.destroy();
    });
    child.once('close', (exitCode, endedBy) => {
      settle();
      try {
        const ended = { exitCode, endedBy, stopped, stdout: stdout(), stderr: stderr() };
        resolve(judge(what, ended, options));
      } catch (thrown) {
        reject(thrown);
      }
    });
  });
