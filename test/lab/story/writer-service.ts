import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from '../tool/lab.ts';
import { waitFor } from '../tool/wait.ts';
import { Clients, copyWorker } from './clients.ts';
import { volumeMount } from './volume-mount.ts';

/** What the service is made with. */
export interface WriterServiceOptions {
  readonly lab: Lab;
  readonly name: string;
  readonly volume: string;
  /** Hosts that get a replica each. */
  readonly hosts: readonly string[];
  /** ms between two rounds of a writer. */
  readonly pauseMs: number;
}

/**
 * A Swarm service of writers (`worker.pl`), one replica on each host, that share one volume. What was acknowledged to
 * each is read through `clients`.
 */
export class WriterService {
  readonly clients: Clients;
  readonly #options: WriterServiceOptions;

  constructor(options: WriterServiceOptions) {
    const { lab, volume, hosts, pauseMs } = options;
    this.#options = options;
    this.clients = new Clients({ lab, volume, hosts, pauseMs });
  }

  /** The command that creates the service, as a user would type it. */
  get command(): string[] {
    const { name, volume, hosts, pauseMs } = this.#options;
    return [
      ...['service', 'create', '--detach', '--name', name],
      ...['--replicas', String(hosts.length), '--replicas-max-per-node', '1'],
      ...['--mount', volumeMount(volume)],
      ...['--mount', 'type=bind,source=/lab/shared,target=/diary'],
      ...['--hostname', '{{.Node.Hostname}}', '--network', 'host', '--no-resolve-image'],
      // A writer that was asked to end has ended; one that failed comes again.
      ...['--restart-condition', 'on-failure', '--restart-delay', '500ms', '--stop-grace-period', '2s'],
      ...['debian:trixie-slim', 'sh', '-c'],
      `exec perl /diary/worker.pl /volume /diary "$(uname -n)" ${pauseMs}`,
    ];
  }

  /** Creates the service through `manager`. */
  async create(manager: string): Promise<void> {
    const { lab, hosts } = this.#options;
    for (const host of hosts) {
      await this.#clean(host);
      await copyWorker(lab.host(host).shared);
    }
    await lab.dockerOk(manager, this.command);
  }

  /** Changes the number of replicas and waits until Swarm has done so. */
  async scale(manager: string, replicas: number): Promise<void> {
    const { lab, name } = this.#options;
    await lab.dockerOk(manager, ['service', 'scale', `${name}=${replicas}`]);
  }

  /**
   * Removes the service and the diaries. Swarm removes a service at once and its tasks' containers, also those that ended long
   * ago, a moment later; as long as one is there its engine refuses to remove the volume.
   */
  async remove(manager: string): Promise<void> {
    const { lab, name, hosts } = this.#options;
    await lab.dockerOk(manager, ['service', 'rm', name]);
    const filter = `label=com.docker.swarm.service.name=${name}`;
    const listed = ['ps', '--all', '--filter', filter, '--format', '{{.Names}} ({{.Status}})'];
    await waitFor(
      async () => {
        const found = await Promise.all(hosts.map((host) => lab.dockerOk(host, listed)));
        const left = found.join('').trim().split('\n').join(', ');
        return left === '' ? { done: true, value: undefined } : { done: false, reason: `there are ${left}` };
      },
      { what: `the containers of ${name} to go`, timeoutMs: 60_000 },
    );
    for (const host of hosts) await this.#clean(host);
  }

  async #clean(host: string): Promise<void> {
    const dir = this.#options.lab.host(host).shared;
    for (const file of [`${host}.diary`, `${host}.stop`, 'volume-copy']) {
      await rm(join(dir, file), { recursive: true, force: true });
    }
  }
}
