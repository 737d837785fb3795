import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import { run } from '../lib/exec.ts';
import type { Log } from '../lib/log.ts';
import { type GaneshaLine, parseGaneshaLine } from './ganesha-log.ts';
import { type Life, readLife } from './process-life.ts';

/** How long reading the program in advance may take, in ms. */
const warmTimeoutMs = 10_000;

/** How a process ended. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last serious line it wrote, for the reason that users see; '' when there was none. */
  readonly lastWords: string;
}

/** A running NFS server process. */
export interface ServerProcess {
  readonly pid: number;
  /** Whether it has ended. */
  readonly ended: boolean;
  /** Resolves when it has ended; never rejects. */
  readonly exited: Promise<ServerExit>;
  /** Sends SIGKILL; returns at once. */
  kill(): void;
  /** What the kernel tells of it; `stopped` while `freeze` has stopped it. */
  life(): Life | 'stopped' | undefined;
  /** Stops the process where it stands (SIGSTOP): it serves nothing until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Has it read its exports again. */
  reload(): void;
}

/** Starts server processes; a seam for tests. */
export interface ServerLauncher {
  /** Has the program and its libraries read into memory, so that a later start need not wait for the disk. Never fails. */
  warm(): Promise<void>;
  /**
   * @param serverEpoch distinct for every start of this volume's server, 32 bits: clients recognise a restart by it.
   * @param tells called for lines that say something about the server's state.
   * @param listenFd a bound socket to serve on in place of one of its own.
   */
  start(
    serverEpoch: number,
    tells: (told: NonNullable<GaneshaLine['tells']>) => void,
    listenFd: number | undefined,
  ): Promise<ServerProcess>;
}

/** What it takes to run ganesha. */
export interface GaneshaOptions {
  /** Program and the arguments before ganesha's own; tests run it inside another root. */
  readonly command: readonly [string, ...string[]];
  readonly configPath: string;
  readonly pidPath: string;
  readonly log: Log;
}

/** Starts `ganesha.nfsd` in the foreground and reads its log from its standard error. */
export class GaneshaLauncher implements ServerLauncher {
  readonly #options: GaneshaOptions;

  constructor(options: GaneshaOptions) {
    this.#options = options;
  }

  async warm(): Promise<void> {
    const { command, log } = this.#options;
    const [file, ...before] = command;
    // It prints its version and ends; by then the loader has read all that it is linked to.
    await run(file, [...before, '-v'], { timeoutMs: warmTimeoutMs }).catch((error) =>
      log.debug(`ganesha was not read in advance: ${toVolumeError(error).message}`),
    );
  }

  async start(
    serverEpoch: number,
    tells: (told: NonNullable<GaneshaLine['tells']>) => void,
    listenFd: number | undefined,
  ): Promise<ServerProcess> {
    const { command, configPath, pidPath, log } = this.#options;
    const [file, ...before] = command;
    // STDERR, not /dev/stdout: what Node gives a child is a socket, which cannot be opened by a path. -x: end with an error rather than serve without the export when the configuration is not accepted.
    const own = ['-F', '-x', '-f', configPath, '-L', 'STDERR', '-p', pidPath, '-E', `${serverEpoch}`];
    // The socket becomes descriptor 3, where ganesha-shim.c looks for it.
    const child = spawn(file, [...before, ...own], {
      stdio: ['ignore', 'pipe', 'pipe', listenFd ?? 'ignore'],
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) =>
        reject(new VolumeError('unavailable', `${file} could not be started: ${cause.message}`, { cause })),
      );
    });
    child.on('error', (cause) => log.warn(`signalling ganesha failed: ${cause.message}`));

    const pid = child.pid ?? 0;
    let lastWords = '';
    let ended = false;
    let frozen = false;
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on('line', (text) => {
        const line = parseGaneshaLine(text);
        if (line.level === 'error') lastWords = line.message;
        log[line.level](`ganesha: ${line.message}`, { pid });
        if (line.tells) tells(line.tells);
      });
    }
    const exited = new Promise<ServerExit>((resolve) => {
      child.once('exit', (code, signal) => {
        ended = true;
        resolve({
          code,
          signal,
          // Read when asked for: the last lines can arrive after the end itself, which must be known at once.
          get lastWords() {
            return lastWords;
          },
        });
      });
    });
    const send = (signal: NodeJS.Signals) => {
      if (!ended) child.kill(signal);
    };
    return {
      pid,
      get ended() {
        return ended;
      },
      exited,
      kill: () => send('SIGKILL'),
      life: () => (frozen ? 'stopped' : readLife(pid)),
      freeze: () => {
        frozen = true;
        send('SIGSTOP');
      },
      thaw: () => {
        frozen = false;
        send('SIGCONT');
      },
      reload: () => send('SIGHUP'),
    };
  }
}

/** How a process ended, in words. */
export function describeExit(exit: ServerExit): string {
  const how = exit.signal ? `killed by ${exit.signal}` : `exit code ${exit.code ?? 'unknown'}`;
  return exit.lastWords ? `${how}; it last said: ${exit.lastWords}` : how;
}
