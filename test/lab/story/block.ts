import { copyFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { image, inspect } from '../fixture.ts';
import type { ShellResult } from '../tool/agent.ts';
import type { Lab } from '../tool/lab.ts';
import { waitFor } from '../tool/wait.ts';

/** `--mount` of a vDVS volume at `/volume`. */
export function blockMount(volume: string): string {
  return `type=volume,source=${volume},target=/volume,volume-driver=vdvs,volume-nocopy`;
}

/** Creates a vDVS volume and says what Docker said. */
export async function createBlock(
  lab: Lab,
  host: string,
  name: string,
  options: Record<string, string> = {},
): Promise<ShellResult> {
  const flags = Object.entries(options).flatMap(([key, value]) => ['--opt', `${key}=${value}`]);
  return await lab.docker(host, ['volume', 'create', '--driver', 'vdvs', ...flags, name]);
}

/** Runs a shell command in a container that has the block volume at `/volume`. */
export async function inBlock(lab: Lab, host: string, volume: string, command: string): Promise<ShellResult> {
  return await lab.docker(host, [
    ...['run', '--rm', '--network', 'none', '--mount', blockMount(volume), image],
    ...['sh', '-c', command],
  ]);
}

/** The administrator's command line, in the service's container on `host`. @throws VolumeError with its own words. */
export async function vdvs(lab: Lab, args: string, host = 'node1'): Promise<string> {
  return await lab.shOk(host, `docker exec $(docker ps -qf name=vfile_vdvs) vdvs ${args}`);
}

/** Waits until `docker volume inspect` shows the volume attached to `holder`, or detached when that is `undefined`. */
export async function reachHolder(
  lab: Lab,
  asker: string,
  volume: string,
  holder: string | undefined,
): Promise<void> {
  await waitFor(
    async () => {
      const status = (await inspect(lab, asker, volume)).Status ?? {};
      const now = status.status === 'attached' ? status['attached to VM'] : undefined;
      return now === holder
        ? { done: true, value: undefined }
        : { done: false, reason: JSON.stringify(status) };
    },
    {
      what: `${volume} to be ${holder ? `attached to ${holder}` : 'detached'}`,
      timeoutMs: 60_000,
      everyMs: 250,
    },
  );
}

/** What a writer was told: the number of its newest acknowledged line, and how it ended when it did. */
export interface WriterDiary {
  readonly acked: number;
  readonly ended: string | undefined;
}

/**
 * `block-writer.pl` in a container on `host`: appends numbered lines to a file of the volume, each with fsync, and notes each
 * that was acknowledged on this machine's disk, until a write fails.
 */
export class BlockWriter {
  readonly #lab: Lab;
  readonly host: string;
  readonly name: string;

  constructor(lab: Lab, host: string, name: string) {
    this.#lab = lab;
    this.host = host;
    this.name = name;
  }

  async start(volume: string): Promise<void> {
    const { shared } = this.#lab.host(this.host);
    await rm(join(shared, `${this.name}.diary`), { force: true });
    await copyFile(join(import.meta.dirname, 'block-writer.pl'), join(shared, 'block-writer.pl'));
    await this.#lab.dockerOk(this.host, [
      ...['run', '--detach', '--init', '--network', 'none', '--name', this.name],
      ...['--mount', blockMount(volume), '--mount', 'type=bind,source=/lab/shared,target=/diary', image],
      ...['perl', '/diary/block-writer.pl', `/volume/${this.name}`, `/diary/${this.name}.diary`],
    ]);
  }

  async diary(): Promise<WriterDiary> {
    const text = await readFile(join(this.#lab.host(this.host).shared, `${this.name}.diary`), 'utf8').catch(
      () => '',
    );
    const acked = [...text.matchAll(/^ack (\d+)$/gm)].at(-1)?.[1];
    return { acked: Number(acked ?? 0), ended: /^ended (.+)$/m.exec(text)?.[1] };
  }

  /** Waits until `count` more lines were acknowledged than now. */
  async progress(count: number): Promise<void> {
    const { acked } = await this.diary();
    await this.#until(`${count} more lines`, (now) => now.acked >= acked + count);
  }

  /** Waits until a write has failed. @returns the number of its last acknowledged line and the kernel's word. */
  async failed(): Promise<WriterDiary> {
    return await this.#until('a write to fail', (now) => now.ended !== undefined);
  }

  async #until(what: string, done: (now: WriterDiary) => boolean): Promise<WriterDiary> {
    return await waitFor(
      async () => {
        const now = await this.diary();
        return done(now) ? { done: true, value: now } : { done: false, reason: JSON.stringify(now) };
      },
      { what: `${what} of ${this.name} on ${this.host}`, timeoutMs: 60_000, everyMs: 50 },
    );
  }
}
