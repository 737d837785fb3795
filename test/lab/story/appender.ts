import { copyFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { image } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
import { waitFor } from '../tool/wait.ts';
import { volumeMount } from './volume-mount.ts';

/** What an appender was told. */
export interface AppenderDiary {
  /** Number of its newest acknowledged line. */
  readonly acked: number;
  /** When each line was acknowledged, ms since 1970 by its host's clock. */
  readonly times: readonly number[];
  /** Why it ended, when it did. */
  readonly ended: string | undefined;
}

/**
 * `appender.pl` in a container on `host`: appends numbered lines to a file of the volume that it keeps open, each with fsync,
 * and notes each that was acknowledged on this machine's disk, until a write fails. Takes no locks and opens nothing anew.
 */
export class Appender {
  readonly #lab: Lab;
  readonly host: string;
  readonly name: string;
  readonly #pauseMs: number;

  /** @param pauseMs ms between two lines. */
  constructor(lab: Lab, host: string, name: string, pauseMs = 20) {
    this.#lab = lab;
    this.host = host;
    this.name = name;
    this.#pauseMs = pauseMs;
  }

  /** Starts on a volume of `driver`. */
  async start(volume: string, driver: 'vdvs' | 'vfile'): Promise<void> {
    const { shared } = this.#lab.host(this.host);
    await rm(join(shared, `${this.name}.diary`), { force: true });
    await copyFile(join(import.meta.dirname, 'appender.pl'), join(shared, 'appender.pl'));
    await this.#lab.dockerOk(this.host, [
      ...['run', '--detach', '--init', '--network', 'none', '--name', this.name],
      ...['--mount', volumeMount(volume, driver)],
      ...['--mount', 'type=bind,source=/lab/shared,target=/diary', image],
      ...[
        'perl',
        '/diary/appender.pl',
        `/volume/${this.name}`,
        `/diary/${this.name}.diary`,
        String(this.#pauseMs),
      ],
    ]);
  }

  async diary(): Promise<AppenderDiary> {
    const text = await readFile(join(this.#lab.host(this.host).shared, `${this.name}.diary`), 'utf8').catch(
      () => '',
    );
    const acks = [...text.matchAll(/^ack (\d+) (\d+)$/gm)];
    return {
      acked: Number(acks.at(-1)?.[1] ?? 0),
      times: acks.map(([, , time]) => Number(time) / 1e6),
      ended: /^ended (.+)$/m.exec(text)?.[1],
    };
  }

  /** Whether its process is there: a write that failed ends it, and so does its host. */
  async runs(): Promise<boolean> {
    const filter = ['--filter', `name=^${this.name}$`];
    return (await this.#lab.dockerOk(this.host, ['ps', '--quiet', ...filter])).trim() !== '';
  }

  /** Waits until `count` more lines were acknowledged than now. */
  async progress(count: number): Promise<void> {
    const { acked } = await this.diary();
    await this.#until(`${count} more lines`, (now) => now.acked >= acked + count);
  }

  /** The longest time without an acknowledged line since `time`, in ms; until its newest one. */
  async longestGap(time: number): Promise<number> {
    const { times } = await this.diary();
    return Math.max(...times.map((at, index) => at - Math.max(time, times[index - 1] ?? time)));
  }

  /**
   * Reads its file on `reader`. @returns what is wrong with it; empty when all acknowledged lines are there, once and in order.
   * @param hostLost it ended with its host or in the middle of a write: the line that was acknowledged to nobody may be there in part.
   */
  async check(
    reader: string,
    volume: string,
    driver: 'vdvs' | 'vfile',
    { hostLost = false }: { readonly hostLost?: boolean } = {},
  ): Promise<string[]> {
    const text = await this.#lab.dockerOk(reader, [
      ...['run', '--rm', '--network', 'none'],
      ...['--mount', volumeMount(volume, driver)],
      ...[image, 'cut', '-d ', '-f1', `/volume/${this.name}`],
    ]);
    const numbers = text.split('\n').filter(Boolean).map(Number);
    const { acked } = await this.diary();
    const wrong = numbers.findIndex((number, at) => number !== at + 1);
    const torn = hostLost && wrong >= acked && wrong === numbers.length - 1;
    if (wrong >= 0 && !torn) return [`${this.name}: line ${wrong + 1} is numbered ${numbers[wrong]}`];
    return numbers.length < acked
      ? [`${this.name}: ${acked} lines were acknowledged, ${numbers.length} are there`]
      : [];
  }

  /** Ends it and removes its container. */
  async remove(): Promise<void> {
    await this.#lab.dockerOk(this.host, ['rm', '--force', this.name]);
  }

  /** Waits until a write has failed. @returns the number of its last acknowledged line and the kernel's word. */
  async failed(): Promise<AppenderDiary> {
    return await this.#until('a write to fail', (now) => now.ended !== undefined);
  }

  async #until(what: string, done: (now: AppenderDiary) => boolean): Promise<AppenderDiary> {
    return await waitFor(
      async () => {
        const now = await this.diary();
        const { acked, ended } = now;
        return done(now)
          ? { done: true, value: now }
          : { done: false, reason: JSON.stringify({ acked, ended }) };
      },
      { what: `${what} of ${this.name} on ${this.host}`, timeoutMs: 60_000, everyMs: 50 },
    );
  }
}
