import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { accessSync, constants as files } from 'node:fs';
import { constants as system } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import {
  type Ended,
  judge,
  killAfterMs,
  type Run,
  type RunOptions,
  run as runHere,
  type Stopped,
} from './exec.ts';

/**
 * What a starter does, in the system's `sh`. It takes a token, a file to hold and a number of arguments with these behind it,
 * a line each; nothing of that is ever read as a command. It says when it has the file and how the program ended, on a
 * descriptor of its own, and puts the token behind what the program wrote.
 */
const script = `
trap : TERM
while IFS= read -r token && IFS= read -r hold && IFS= read -r count; do
  set --
  while [ "$count" -gt 0 ]; do
    IFS= read -r argument || exit 1
    set -- "$@" "$argument"
    count=$((count - 1))
  done
  { echo "$token held" >&3; "$@" </dev/null 3>&-; } 9<"$hold"
  code=$?
  echo "$token"
  echo "$token" >&2
  echo "$token $code" >&3
done
`;

/** Name of the signal that a shell's exit code tells of. */
function signalOf(code: number): NodeJS.Signals | undefined {
  const names = Object.entries(system.signals) as [NodeJS.Signals, number][];
  return names.find(([, number]) => number === code - 128)?.[0];
}

/** Where a program is, as the shell would find it; never one of the shell's own commands. */
function pathOf(program: string): string | undefined {
  if (program.includes('/')) return program;
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, program);
    try {
      accessSync(path, files.X_OK);
      return path;
    } catch {
      // In another folder.
    }
  }
  return undefined;
}

/** What a stream has said and nobody has taken. */
class Gathered {
  text = '';

  constructor(stream: Readable, onMore: () => void) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      this.text += piece;
      onMore();
    });
  }

  /** Takes all, and gives back what stood before the token. */
  take(token: string): string {
    const [before = ''] = this.text.split(token, 1);
    this.text = '';
    return before.replace(/\n$/, '');
  }
}

/** How a program ended, and whether it was started at all. */
interface Outcome extends Ended {
  readonly started: boolean;
}

/** A small process that starts one program after the other. */
class Starter {
  readonly #child: ChildProcess;
  readonly #stdin: Writable;
  readonly #stdout: Gathered;
  readonly #stderr: Gathered;
  readonly #said: Gathered;
  #onMore = (): void => undefined;

  constructor() {
    // A group of its own, so that the program that it runs can be told to end with it.
    const child = spawn('/bin/sh', ['-c', script], {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const gather = (index: number) => new Gathered(child.stdio[index] as Readable, () => this.#onMore());
    this.#child = child;
    this.#stdin = child.stdin as Writable;
    this.#stdout = gather(1);
    this.#stderr = gather(2);
    this.#said = gather(3);
    // One that could not be started or has ended is noticed when it is to be used.
    child.on('error', () => undefined);
    this.#stdin.on('error', () => undefined);
    // It ends with its input: this process need not stay for it.
    child.unref();
    for (const stream of child.stdio) (stream as { unref?(): void } | null)?.unref?.();
  }

  get lives(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Runs a program to its end. One at a time. */
  run(path: string, args: readonly string[], { timeoutMs, signal, hold }: RunOptions): Promise<Outcome> {
    const child = this.#child;
    const token = randomUUID();
    return new Promise((resolve) => {
      let started = false;
      let stopped: Stopped | undefined;
      let kill: NodeJS.Timeout | undefined;
      const stop = (why: Stopped): void => {
        if (stopped) return;
        stopped = why;
        this.#signal('SIGTERM');
        kill = setTimeout(() => this.#signal('SIGKILL'), killAfterMs);
      };
      const deadline = setTimeout(stop, timeoutMs, 'deadline');
      const cancel = (): void => stop('cancelled');
      const settle = (exitCode: number | null, endedBy: NodeJS.Signals | null): void => {
        clearTimeout(deadline);
        clearTimeout(kill);
        signal?.removeEventListener('abort', cancel);
        child.off('close', settle);
        child.unref();
        this.#onMore = () => undefined;
        this.#said.text = '';
        const wrote = { stdout: this.#stdout.take(token), stderr: this.#stderr.take(token) };
        resolve({ started, stopped, exitCode, endedBy, ...wrote });
      };
      this.#onMore = () => {
        const { text } = this.#said;
        if (!started && text.includes(`${token} held\n`)) {
          started = true;
          hold?.taken();
        }
        const code = new RegExp(`^${token} (\\d+)$`, 'm').exec(text)?.[1];
        if (code === undefined || ![this.#stdout, this.#stderr].every((one) => one.text.includes(token)))
          return;
        const endedBy = signalOf(Number(code));
        settle(endedBy ? null : Number(code), endedBy ?? null);
      };
      // Not before all has ended that was started and holds its output.
      child.on('close', settle);
      child.ref();
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted) cancel();
      const held = hold ? `/proc/${process.pid}/fd/${hold.descriptor}` : '/dev/null';
      this.#stdin.write(`${[token, held, args.length + 1, path, ...args].join('\n')}\n`);
    });
  }

  /** Ends it when it has nothing to do. */
  end(): void {
    this.#stdin.end();
  }

  #signal(signal: NodeJS.Signals): void {
    if (!this.lives || this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch {
      // It has ended just now.
    }
  }
}

/**
 * Programs that are started by small processes which wait for that. To start one itself a process copies what the kernel
 * keeps of its own memory, for which all of it stands still: a host of the lab needs 60 to 100 ms for that in one of our
 * programs, and 5 to 10 in a small one; on a busy host it is what most of an attachment’s time goes to.
 */
export class KeptPrograms {
  readonly #keep: number;
  #idle: Starter[] = [];
  #busy = 0;
  #ended = false;

  /** @param keep how many programs can be started at the same time; those beyond are started by this process. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  /** Starts as many as are kept, in place of those that have ended. */
  prepare(): this {
    this.#idle = this.#idle.filter((one) => one.lives);
    while (!this.#ended && this.#idle.length + this.#busy < this.#keep) this.#idle.push(new Starter());
    return this;
  }

  readonly run: Run = async (file, args, options) => {
    const { input, env } = options;
    const path = pathOf(file);
    const fits =
      !input && !env && !options.signal?.aborted && ![...args, file].some((one) => one.includes('\n'));
    const starter = path !== undefined && fits ? this.prepare().#idle.pop() : undefined;
    if (!path || !starter) return await runHere(file, args, options);
    this.#busy += 1;
    const outcome = await starter.run(path, args, options);
    this.#busy -= 1;
    // One that was told to end may do so only now.
    if (outcome.stopped || this.#ended) starter.end();
    else this.#idle.push(starter);
    this.prepare();
    if (!outcome.started && !outcome.stopped) return await runHere(file, args, options);
    return judge(`${file} ${args.join(' ')}`, outcome, options);
  };

  /** Ends those that wait; one that runs a program ends after that. */
  end(): void {
    this.#ended = true;
    for (const starter of this.#idle.splice(0)) starter.end();
  }
}
