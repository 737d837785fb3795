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
  /** File descriptors that the program has too, from 3 on: when `run` has returned its promise they may be closed here. */
  inherit?: readonly number[];
}

/** What a child process left behind. */
export interface RunResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs programs; a seam so that unit tests need none. */
export type Run = (file: string, args: readonly string[], options: RunOptions) => Promise<RunResult>;

/** ms between the request to end and the order to. */
const killAfterMs = 2_000;

function collect(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return () => text.replace(/\n$/, '');
}

/** Why a program was told to end before it had ended by itself. */
type Stopped = 'deadline' | 'cancelled';

/**
 * Runs a program to its end.
 * @throws VolumeError `timeout` after the deadline, `unavailable` when the program is missing, else `internal`
 *   with the end of what it wrote to standard error.
 */
export const run: Run = (file, args, { timeoutMs, signal, input, env, okCodes = [0], inherit = [] }) =>
  new Promise((resolve, reject) => {
    const what = `${file} ${args.join(' ')}`;
    // The types know a child with all three streams only without descriptors beside them.
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe', ...inherit],
      ...(env ? { env: { ...process.env, ...env } } : {}),
    }) as ChildProcessWithoutNullStreams;
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
      if (stopped === 'deadline') {
        reject(new VolumeError('timeout', `${what}: not finished after ${timeoutMs} ms, stopped`));
      } else if (exitCode === null) {
        const why = stopped === 'cancelled' ? 'cancelled' : `ended by ${endedBy}`;
        reject(new VolumeError('internal', `${what}: ${why}`));
      } else if (!okCodes.includes(exitCode)) {
        const tail = stderr().split('\n').slice(-5).join('; ').trim();
        reject(new VolumeError('internal', `${what}: exit code ${exitCode}${tail ? `: ${tail}` : ''}`));
      } else {
        resolve({ exitCode, stdout: stdout(), stderr: stderr() });
      }
    });
  });
