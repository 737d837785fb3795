import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';

/** How long a write may take, and what calls it off. */
export interface WriteOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Writes values to files of the kernel, which may hold the writer up. */
export interface FileWriter {
  /**
   * Writes a value to a file in one piece. When it rejects, nothing is written any more.
   * @throws VolumeError `timeout` after the deadline, `invalid` for a path or value with a tab or line end, else `internal`
   *   with the reason; also when it was called off.
   */
  write(path: string, value: string, options: WriteOptions): Promise<void>;
}

/** So many that wait for work are kept: a failover writes twice for each transport, and a volume has one as a rule. */
const keep = 2;
/** ms between the request to end and the order to. */
const killAfterMs = 2_000;
/** Takes lines of a path, a tab and a value; answers each with an empty line when the file has been written and closed. */
const program = '{ printf "%s", $2 > $1; if (close($1) != 0) exit 1; print ""; fflush() }';

/** A process that writes one file after the other. */
class Writer {
  readonly #child: ChildProcessWithoutNullStreams;
  #stderr = '';

  constructor() {
    this.#child = spawn('mawk', ['-W', 'interactive', '-F', '\t', program], { stdio: 'pipe' });
    this.#child.stdout.setEncoding('utf8');
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = `${this.#stderr}${text}`.slice(-1_000);
    });
    // One that could not be started or has ended is noticed by the next write.
    for (const source of [this.#child, this.#child.stdin]) source.on('error', () => undefined);
  }

  /** Whether it may be asked to write. */
  get lives(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it has written. @throws Error an `AbortError` when `signal` is aborted first; it may still write. */
  async write(path: string, value: string, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const until = { signal: AbortSignal.any([signal, over.signal]) };
    const answered = once(this.#child.stdout, 'data', until);
    const ended = once(this.#child, 'close', until).then(() => {
      throw new Error(this.#stderr.trim() || 'the writer has ended');
    });
    const first = Promise.race([answered, ended]);
    // The loser hears that it is over.
    for (const one of [answered, ended]) one.catch(() => undefined);
    this.#child.stdin.write(`${path}\t${value}\n`);
    await first.finally(() => over.abort());
  }

  /** Ends it when it has nothing to do. */
  end(): void {
    this.#child.stdin.end();
  }

  /** Ends it whatever it does; resolves when it is gone. */
  async kill(): Promise<void> {
    if (!this.lives) return;
    const gone = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    const order = setTimeout(() => this.#child.kill('SIGKILL'), killAfterMs);
    await gone.finally(() => clearTimeout(order));
  }
}

/**
 * Writers that wait for work. To start a process takes a busy host longer than all else in a write, and in a failover every node
 * writes at the same moment. A write has a process of its own: one that the kernel holds up keeps no other back, takes no thread
 * of this process, and can be killed.
 */
export class KeptWriters implements FileWriter {
  readonly #idle: Writer[] = [];
  #ended = false;

  /** Starts as many as are kept. */
  prepare(): void {
    while (!this.#ended && this.#idle.length < keep) this.#idle.push(new Writer());
  }

  async write(path: string, value: string, { timeoutMs, signal }: WriteOptions): Promise<void> {
    const what = `write ${value} to ${path}`;
    if (/[\t\n]/.test(path + value)) throw new VolumeError('invalid', `${what}: has a tab or a line end`);
    const writer = this.#take();
    const late = AbortSignal.timeout(timeoutMs);
    try {
      await writer.write(path, value, signal ? AbortSignal.any([late, signal]) : late);
    } catch (thrown) {
      await writer.kill();
      this.prepare();
      if (late.aborted)
        throw new VolumeError('timeout', `${what}: not finished after ${timeoutMs} ms, stopped`);
      if (signal?.aborted) throw new VolumeError('internal', `${what}: cancelled`);
      const { message } = toVolumeError(thrown);
      throw new VolumeError('internal', `${what}: ${message}`, { cause: thrown });
    }
    if (this.#ended || this.#idle.length >= keep) writer.end();
    else this.#idle.push(writer);
  }

  /** Ends those that wait; one that writes ends after that. */
  end(): void {
    this.#ended = true;
    for (const writer of this.#idle.splice(0)) writer.end();
  }

  #take(): Writer {
    for (let writer = this.#idle.pop(); writer; writer = this.#idle.pop()) if (writer.lives) return writer;
    return new Writer();
  }
}
