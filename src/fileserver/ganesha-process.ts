import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { replaceFile } from '../lib/replace-file.ts';
import { type GaneshaLine, parseGaneshaLine } from './ganesha-log.ts';
import { type Life, readLife } from './process-life.ts';

/** Descriptors of a process, for `ganesha-shim.c`: on which it waits for its turn to serve, and what permits its answers. */
const [gateFd, permitFd] = [4, 5];

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
  /** Has it read its exports again from this configuration. @throws what writing the file throws. */
  reload(config: string): Promise<void>;
}

/** Called for lines that say something about the server's state. */
export type Tells = (told: NonNullable<GaneshaLine['tells']>) => void;

/** A process with program, libraries and configuration read, which waits before it touches the volume. */
export interface ReadyServer {
  readonly process: ServerProcess;
  /** Whether clients that connect are accepted already; they have their answers when it serves. */
  readonly accepts: boolean;
  /**
   * Lets it serve, once.
   * @param serverEpoch distinct for every start of this volume's server, 32 bits: clients recognise a restart by it.
   */
  serve(serverEpoch: number, tells: Tells): void;
}

/** Starts server processes; a seam for tests. */
export interface ServerLauncher {
  /**
   * Starts a process that waits.
   * @param config the text of its configuration.
   * @throws VolumeError `unavailable` when there is no such program.
   */
  ready(config: string, inherited: Inherited): Promise<ReadyServer>;
}

/** Open files that a server process gets from its parent. */
export interface Inherited {
  /** A bound socket to serve on in place of one of its own. */
  readonly listenFd: number | undefined;
  /** See `ReplyPermit`. */
  readonly permitFd: number;
}

/** What it takes to run ganesha. */
export interface GaneshaOptions {
  /** Program and the arguments before ganesha's own; tests run it inside another root. */
  readonly command: readonly [string, ...string[]];
  /** For its configuration and the number of its process. */
  readonly runDir: string;
  readonly log: Log;
}

/** Starts `ganesha.nfsd` in the foreground and reads its log from its standard error. */
export class GaneshaLauncher implements ServerLauncher {
  readonly #options: GaneshaOptions;
  #started = 0;

  constructor(options: GaneshaOptions) {
    this.#options = options;
  }

  async ready(config: string, inherited: Inherited): Promise<ReadyServer> {
    const { runDir, log } = this.#options;
    // Of its own each: one may wait while another one serves.
    this.#started += 1;
    const configPath = join(runDir, `ganesha-${this.#started}.conf`);
    const pidPath = join(runDir, `ganesha-${this.#started}.pid`);
    await replaceFile(configPath, config, { durable: false });
    const child = await this.#spawn(configPath, pidPath, inherited);
    child.once('exit', () => {
      for (const path of [configPath, pidPath]) rm(path, { force: true }).catch(() => undefined);
    });
    const gate = child.stdio[gateFd] as Duplex;
    // One that has ended waits for nothing; its end is told by `exited`.
    gate.on('error', () => undefined);
    let accepts = false;
    gate.once('data', () => {
      accepts = true;
    });
    let tells: Tells = () => undefined;
    return {
      process: new GaneshaProcess(
        child,
        configPath,
        readWords(child, log, (told) => tells(told)),
      ),
      get accepts() {
        return accepts;
      },
      serve: (serverEpoch, told) => {
        tells = told;
        const epoch = Buffer.alloc(8);
        epoch.writeBigUInt64LE(BigInt(serverEpoch));
        gate.end(epoch);
      },
    };
  }

  async #spawn(configPath: string, pidPath: string, inherited: Inherited): Promise<ChildProcess> {
    const { command, log } = this.#options;
    const [file, ...before] = command;
    // STDERR, not /dev/stdout: what Node gives a child is a socket, which cannot be opened by a path. -x: end with an error rather than serve without the export when the configuration is not accepted.
    const own = ['-F', '-x', '-f', configPath, '-L', 'STDERR', '-p', pidPath];
    // The socket becomes descriptor 3, where ganesha-shim.c looks for it.
    const child = spawn(file, [...before, ...own], {
      stdio: ['ignore', 'pipe', 'pipe', inherited.listenFd ?? 'ignore', 'pipe', inherited.permitFd],
      env: { ...process.env, VFILE_GATE: `${gateFd}`, VFILE_PERMIT: `${permitFd}` },
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) =>
        reject(new VolumeError('unavailable', `${file} could not be started: ${cause.message}`, { cause })),
      );
    });
    child.on('error', (cause) => log.warn(`signalling ganesha failed: ${cause.message}`));
    return child;
  }
}

class GaneshaProcess implements ServerProcess {
  readonly pid: number;
  readonly exited: Promise<ServerExit>;
  readonly #child: ChildProcess;
  readonly #configPath: string;
  #ended = false;
  #frozen = false;

  constructor(child: ChildProcess, configPath: string, words: { readonly last: string }) {
    this.pid = child.pid ?? 0;
    this.#child = child;
    this.#configPath = configPath;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#ended = true;
        resolve({
          code,
          signal,
          // Read when asked for: the last lines can arrive after the end itself, which must be known at once.
          get lastWords() {
            return words.last;
          },
        });
      });
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  kill(): void {
    this.#send('SIGKILL');
  }

  life(): Life | 'stopped' | undefined {
    return this.#frozen ? 'stopped' : readLife(this.pid);
  }

  freeze(): void {
    this.#frozen = true;
    this.#send('SIGSTOP');
  }

  thaw(): void {
    this.#frozen = false;
    this.#send('SIGCONT');
  }

  async reload(config: string): Promise<void> {
    await replaceFile(this.#configPath, config, { durable: false });
    this.#send('SIGHUP');
  }

  #send(signal: NodeJS.Signals): void {
    if (!this.#ended) this.#child.kill(signal);
  }
}

/** Logs what the process says. @returns the last serious line of it. */
function readWords(child: ChildProcess, log: Log, tells: Tells): { readonly last: string } {
  const words = { last: '' };
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on('line', (text) => {
      const line = parseGaneshaLine(text);
      if (line.level === 'error') words.last = line.message;
      log[line.level](`ganesha: ${line.message}`, { pid: child.pid });
      if (line.tells) tells(line.tells);
    });
  }
  return words;
}

/** How a process ended, in words. */
export function describeExit(exit: ServerExit): string {
  const how = exit.signal ? `killed by ${exit.signal}` : `exit code ${exit.code ?? 'unknown'}`;
  return exit.lastWords ? `${how}; it last said: ${exit.lastWords}` : how;
}
