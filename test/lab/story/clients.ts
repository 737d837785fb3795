import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from '../tool/lab.ts';
import { waitFor } from '../tool/wait.ts';
import { checkRun, type Diary, parseDiary, type RunConditions } from './check-run.ts';
import { readVolumeContent } from './volume-content.ts';
import { volumeMount } from './volume-mount.ts';

/** Where the clients run and what they share. */
export interface ClientsOptions {
  readonly lab: Lab;
  readonly volume: string;
  readonly hosts: readonly string[];
  /** ms between two rounds of a client. */
  readonly pauseMs: number;
  readonly image?: string;
}

/**
 * Workers (`worker.pl`), one container on each host, that share one volume. Each writes with fsync, takes turns under a
 * lock and reads what the others wrote; what was acknowledged to it is in its diary, on this machine's disk.
 */
export class Clients {
  readonly #options: ClientsOptions;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** Starts a client on each host; resolves when all containers have been started. */
  async start(): Promise<void> {
    const { lab, volume, hosts, pauseMs, image = 'debian:trixie-slim' } = this.#options;
    await Promise.all(
      hosts.map(async (host) => {
        await this.#clean(host);
        await copyWorker(lab.host(host).shared);
        await lab.dockerOk(host, [
          // Its one process takes no notice of SIGTERM: an engine that was killed would wait for it 10 s when it comes back.
          ...[
            'run',
            '--detach',
            '--network',
            'none',
            '--stop-signal',
            'SIGKILL',
            '--name',
            containerOf(host),
          ],
          ...['--mount', volumeMount(volume)],
          ...['--mount', 'type=bind,source=/lab/shared,target=/diary'],
          ...[image, 'perl', '/diary/worker.pl', '/volume', '/diary', host, String(pauseMs)],
        ]);
      }),
    );
  }

  /** A client's diary so far. */
  async diary(host: string): Promise<Diary> {
    const file = join(this.#options.lab.host(host).shared, `${host}.diary`);
    return parseDiary(host, await readFile(file, 'utf8').catch(() => ''));
  }

  /** Waits until each of `hosts` has `count` more acknowledged records and turns than at the call. */
  async progress(hosts: readonly string[], count: number, timeoutMs: number): Promise<void> {
    const before = new Map(
      await Promise.all(hosts.map(async (host) => [host, await this.diary(host)] as const)),
    );
    await waitFor(
      async () => {
        const diaries = await Promise.all(hosts.map((host) => this.diary(host)));
        const behind = diaries.filter(({ name, acks, turns }) => {
          const start = before.get(name);
          return (
            acks.length < (start?.acks.length ?? 0) + count ||
            turns.length < (start?.turns.length ?? 0) + count
          );
        });
        if (behind.length === 0) return { done: true, value: undefined };
        return {
          done: false,
          reason: behind
            .map((d) => `${d.name} has ${d.acks.length} records, ${d.turns.length} turns`)
            .join(', '),
        };
      },
      { what: `${count} more records and turns on ${hosts.join(', ')}`, timeoutMs, everyMs: 50 },
    );
  }

  /** Waits for the first record of `host` that was acknowledged after `time` (ms since 1970). @returns when that was. */
  async firstAckAfter(host: string, time: number, timeoutMs: number): Promise<number> {
    return await waitFor(
      async () => {
        // The record must also have been *begun* after the event: one that was under way may only report late.
        const ack = (await this.diary(host)).acks.find(
          ({ start, end }) => start >= time || end >= time + 1_000,
        );
        return ack ? { done: true, value: ack.end } : { done: false, reason: 'no record acknowledged yet' };
      },
      { what: `first acknowledged record on ${host}`, timeoutMs, everyMs: 20 },
    );
  }

  /** Asks the clients on `hosts` to end after their round and waits for it. */
  async stop(hosts: readonly string[], timeoutMs = 60_000): Promise<void> {
    const { lab } = this.#options;
    for (const host of hosts) await writeFile(join(lab.host(host).shared, `${host}.stop`), '');
    await Promise.all(
      hosts.map((host) =>
        waitFor(
          async () =>
            (await this.diary(host)).ended
              ? { done: true, value: undefined }
              : { done: false, reason: 'it still works' },
          { what: `end of the client on ${host}`, timeoutMs, everyMs: 50 },
        ),
      ),
    );
  }

  /** Compares all diaries with what `reader` sees in the volume. @returns what is wrong; empty when nothing is. */
  async check(reader: string, conditions: RunConditions = {}): Promise<string[]> {
    const { lab, volume, hosts, image = 'debian:trixie-slim' } = this.#options;
    const target = join(lab.host(reader).shared, 'volume-copy');
    await rm(target, { recursive: true, force: true });
    await lab.dockerOk(reader, [
      ...['run', '--rm', '--network', 'none'],
      ...['--mount', volumeMount(volume)],
      ...['--mount', 'type=bind,source=/lab/shared,target=/diary'],
      ...[image, 'sh', '-c', 'cp -r /volume /diary/volume-copy && sync'],
    ]);
    const diaries = await Promise.all(hosts.map((host) => this.diary(host)));
    return checkRun(diaries, await readVolumeContent(target), conditions);
  }

  /**
   * Starts the client on `host` again if its container does not run, as after a power cut. It goes on where it was.
   * @returns what it last said when it had to be started again, else `undefined`.
   */
  async revive(host: string, timeoutMs: number): Promise<string | undefined> {
    const { lab } = this.#options;
    const container = containerOf(host);
    const isRunning = async (): Promise<boolean> =>
      (await lab.dockerOk(host, ['container', 'inspect', '-f', '{{.State.Running}}', container])) === 'true';
    if (await isRunning()) return undefined;
    const { stdout, stderr } = await lab.docker(host, ['logs', '--tail', '3', container]);
    await waitFor(
      async () => {
        await lab.dockerOk(host, ['start', container]);
        return { done: true, value: undefined };
      },
      { what: `start of the client on ${host}`, timeoutMs, everyMs: 1_000 },
    );
    return `${stdout}${stderr}`.trim();
  }

  /** Removes the containers on `hosts` and the diaries. */
  async remove(hosts: readonly string[]): Promise<void> {
    await Promise.all(
      hosts.map(async (host) => {
        await this.#options.lab.dockerOk(host, ['rm', '--force', containerOf(host)]);
        await this.#clean(host);
      }),
    );
  }

  async #clean(host: string): Promise<void> {
    const dir = this.#options.lab.host(host).shared;
    for (const file of [`${host}.diary`, `${host}.stop`, 'volume-copy']) {
      await rm(join(dir, file), { recursive: true, force: true });
    }
  }
}

/** Name of the client's container on a host. */
export function containerOf(host: string): string {
  return `client-${host}`;
}

/** Puts the worker's program into a folder. */
export async function copyWorker(folder: string): Promise<void> {
  for (const file of ['worker.pl', 'worker-reads.pl']) {
    await copyFile(join(import.meta.dirname, file), join(folder, file));
  }
}
