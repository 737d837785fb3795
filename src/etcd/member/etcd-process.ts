import { spawn } from 'node:child_process';
import { VolumeError } from '../../lib/errors.ts';
import type { Run } from '../../lib/exec.ts';

/** A running etcd. */
export interface EtcdProcess {
  readonly pid: number | undefined;
  /** How it ended, for humans; never rejects. */
  readonly exited: Promise<string>;
  /** TERM, so that it hands leadership over; KILL when it has not ended after `timeoutMs`. */
  stop(timeoutMs: number): Promise<void>;
}

/** Starts etcd as a child whose output goes where ours goes. */
export function startEtcdProcess(binary: string, args: readonly string[]): EtcdProcess {
  const child = spawn(binary, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be run: ${error.message}`));
    child.once('exit', (code, signal) => resolve(signal ? `ended by ${signal}` : `exit code ${code}`));
  });
  return {
    pid: child.pid,
    exited,
    stop: async (timeoutMs) => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** The version of the installed etcd. @throws VolumeError `unavailable` when it is missing or older than 3.4. */
export async function readEtcdVersion(run: Run, binary: string): Promise<{ major: number; minor: number }> {
  const { stdout } = await run(binary, ['--version'], { timeoutMs: 10_000 });
  const [, major, minor] = /etcd Version: (\d+)\.(\d+)/.exec(stdout) ?? [];
  const version = { major: Number(major), minor: Number(minor) };
  if (!(version.major === 3 && version.minor >= 4)) {
    const found = stdout.split('\n')[0] ?? '';
    throw new VolumeError('unavailable', `${binary}: etcd 3.4 or newer is needed, found "${found}"`);
  }
  return version;
}
