import { type ChildProcess, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Lab } from '../../lab/tool/lab.ts';

/**
 * As much of a lab as the chaos runner uses: three hosts that are folders of this machine, one shared folder as the
 * volume, and real workers as the clients. Hosts and plugins are always well; a container is a process.
 */
export class PretendedLab {
  /** Every order that was given, as `host: order`; questions are none. */
  readonly orders: string[] = [];
  readonly #dir: string;
  readonly #env: Record<string, NodeJS.ProcessEnv>;
  readonly #clients = new Map<string, ChildProcess>();
  readonly #commands = new Map<string, string[]>();

  private constructor(dir: string, env: Record<string, NodeJS.ProcessEnv>) {
    this.#dir = dir;
    this.#env = env;
  }

  /** @param env further environment of the clients, by host; `FAULT_FOLDER` is set for all. */
  static async create(env: Record<string, NodeJS.ProcessEnv> = {}): Promise<PretendedLab> {
    const lab = new PretendedLab(await mkdtemp(join(tmpdir(), 'vfile-chaos-')), env);
    for (const folder of ['volume', 'datastores', ...lab.hostNames]) await mkdir(join(lab.#dir, folder));
    return lab;
  }

  /** What the runner takes for a lab. */
  get lab(): Lab {
    return this as unknown as Lab;
  }

  readonly hostNames = ['node1', 'node2', 'node3'];
  readonly network = { cutTaps: async () => new Set<string>() };
  get hosts(): object[] {
    return this.hostNames.map((name) => ({ name, tap: name }));
  }
  get paths(): object {
    return { datastores: join(this.#dir, 'datastores') };
  }
  host(name: string): object {
    return { shared: join(this.#dir, name) };
  }
  power(): object {
    return { power: () => 'up' };
  }
  async status(): Promise<object> {
    const well = { power: 'up', network: 'connected', engine: 'up', swarm: 'manager' };
    const plugins = ['vfile:latest enabled', 'vdvs:latest enabled'];
    return { hosts: this.hostNames.map((name) => ({ name, ...well, plugins })), services: ['etcd 3/3'] };
  }
  async sh(host: string, command: string): Promise<object> {
    if (command.includes('vfile status')) return { exitCode: 0, stdout: this.#vfileStatus(), stderr: '' };
    this.orders.push(`${host}: ${command}`);
    // All that the runner kills by a shell command takes the client along here.
    if (command.includes('pkill')) await this.#end(host);
    return { exitCode: 0, stdout: '', stderr: '' };
  }
  async shOk(): Promise<string> {
    return '';
  }
  async docker(host: string, args: readonly string[]): Promise<object> {
    return { exitCode: 0, stdout: await this.dockerOk(host, args), stderr: '' };
  }

  async dockerOk(host: string, args: readonly string[]): Promise<string> {
    const [what = '', more = ''] = args;
    if (what === 'run' && args.includes('perl')) {
      this.#commands.set(host, args.slice(args.indexOf('perl') + 1));
      this.#start(host);
    } else if (what === 'run') {
      await cp(join(this.#dir, 'volume'), join(this.#dir, host, 'volume-copy'), { recursive: true });
    } else if (what === 'start') this.#start(host);
    else if (what === 'rm') await this.#end(host);
    else if (what === 'container') return String(this.#runs(host));
    else if (what === 'volume' && more === 'inspect') return this.#inspected(args.at(-1) ?? '');
    else if (what === 'volume' && more === 'rm') await this.#emptyVolume();
    return '';
  }

  async remove(): Promise<void> {
    for (const host of this.hostNames) await this.#end(host);
    await rm(this.#dir, { recursive: true, force: true });
  }

  #inspected(name: string): string {
    // A host whose client runs has the volume mounted.
    const users = this.hostNames.filter((host) => this.#runs(host)).length;
    const status = { 'Volume Status': 'Mounted', 'Server node': 'node2', 'Global Refcount': users };
    const fixed = { Driver: 'vfile:latest', Scope: 'global', CreatedAt: '', Mountpoint: '' };
    return JSON.stringify([{ Name: name, ...fixed, Status: status }]);
  }

  #vfileStatus(): string {
    const members = this.hostNames.map((host) => ({ host, node: host, votes: true, answers: true }));
    return JSON.stringify({ etcd: { members } });
  }

  async #emptyVolume(): Promise<void> {
    await rm(join(this.#dir, 'volume'), { recursive: true });
    await mkdir(join(this.#dir, 'volume'));
  }

  #start(host: string): void {
    const inside: Record<string, string> = {
      volume: join(this.#dir, 'volume'),
      diary: join(this.#dir, host),
    };
    const args = (this.#commands.get(host) ?? []).map((arg) =>
      arg.replace(/^\/(volume|diary)/, (_, name: string) => inside[name] ?? ''),
    );
    const env = { ...process.env, FAULT_FOLDER: inside.volume, ...this.#env[host] };
    this.#clients.set(host, spawn('perl', args, { stdio: 'inherit', env }));
  }

  #runs(host: string): boolean {
    const client = this.#clients.get(host);
    return client !== undefined && client.exitCode === null && client.signalCode === null;
  }

  async #end(host: string): Promise<void> {
    const client = this.#clients.get(host);
    if (!client || !this.#runs(host)) return;
    const ended = new Promise((resolve) => client.once('exit', resolve));
    client.kill('SIGKILL');
    await ended;
  }
}
