import { execa } from 'execa';
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
}

/** What a child process left behind. */
export interface RunResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs programs; a seam so that unit tests need none. */
export type Run = (file: string, args: readonly string[], options: RunOptions) => Promise<RunResult>;

/**
 * Runs a program to its end.
 * @throws VolumeError `timeout` after the deadline, `unavailable` when the program is missing, else `internal`
 *   with the end of what it wrote to standard error.
 */
export const run: Run = async (file, args, options) => {
  const result = await execa(file, args, {
    timeout: options.timeoutMs,
    forceKillAfterDelay: 2_000,
    reject: false,
    stripFinalNewline: true,
    ...(options.signal ? { cancelSignal: options.signal } : {}),
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    ...(options.env ? { env: options.env } : {}),
  });
  const what = `${file} ${args.join(' ')}`;
  if (result.timedOut) {
    throw new VolumeError('timeout', `${what}: not finished after ${options.timeoutMs} ms, stopped`);
  }
  if (result.exitCode === undefined) {
    const missing = result.code === 'ENOENT';
    const why = result.isCanceled ? 'cancelled' : (result.shortMessage ?? 'could not be run');
    throw new VolumeError(missing ? 'unavailable' : 'internal', `${what}: ${why}`, { cause: result });
  }
  const ok = options.okCodes ?? [0];
  if (!ok.includes(result.exitCode)) {
    const tail = result.stderr.split('\n').slice(-5).join('; ').trim();
    throw new VolumeError('internal', `${what}: exit code ${result.exitCode}${tail ? `: ${tail}` : ''}`);
  }
  return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
};
