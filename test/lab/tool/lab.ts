import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { VolumeError } from '../../../src/lib/errors.ts';
import { runOnHost, type ShellOptions, type ShellResult } from './agent.ts';
import { type DockerCommand, dockerCommand } from './docker-cli.ts';
import { Host, type HostImage } from './host.ts';
import { type HostSpec, hostSpecs } from './host-spec.ts';
import { locked } from './lock.ts';
import { LabNetwork } from './network.ts';
import { type LabPaths, labPaths } from './paths.ts';
import { type LabState, readLabState } from './state.ts';
import { type LabStatus, readStatus } from './status.ts';
import { plainSteps, type StepRunner } from './steps.ts';
import { takeDown } from './take-down.ts';
import { hostAnswers, type UpOptions, upSteps } from './up.ts';

/** How the Docker command line is called. */
export interface DockerOptions {
  readonly timeoutMs?: number;
  readonly input?: string;
  /** Variables that it gets besides those of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What a lab is made with. */
export interface LabOptions {
  /** Environment to read `VFILE_LAB_DIR` and `VFILE_LAB_CACHE` from; default this process's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** How longer commands show what they do; default lines on standard error. */
  readonly steps?: StepRunner;
  /** Ends what is going on and takes down a lab that is just coming up. */
  readonly signal?: AbortSignal;
}

/** Options of a command on a host, all of them optional. */
export type CommandOptions = Partial<ShellOptions>;

const commandTimeoutMs = 120_000;
const lockWaitSeconds = 120;

/**
 * A Swarm of real hosts on this machine. Holds no state of its own: any number of these objects and of `lab`
 * commands can work on one lab, changes are serialised by a lock.
 */
export class Lab {
  readonly paths: LabPaths;
  readonly network: LabNetwork;
  readonly #steps: StepRunner;
  readonly #signal: AbortSignal | undefined;

  constructor(options: LabOptions = {}) {
    this.paths = labPaths(options.env ?? process.env);
    this.network = new LabNetwork(this.paths.netns);
    this.#steps = options.steps ?? plainSteps((line) => process.stderr.write(`${line}\n`));
    this.#signal = options.signal;
  }

  /** The lab's hosts, `node1` first; empty when there is no lab. */
  get hosts(): readonly HostSpec[] {
    const state = readLabState(this.paths);
    return state === undefined ? [] : hostSpecs(this.paths, state.nodes);
  }

  /** Names of the hosts. */
  get hostNames(): readonly string[] {
    return this.hosts.map((host) => host.name);
  }

  /** The host of this name. @throws VolumeError `not_found`, naming those there are. */
  host(name: string): HostSpec {
    const found = this.hosts.find((host) => host.name === name);
    if (found) return found;
    const names = this.hostNames.join(', ') || 'none: the lab is not up; "npm run -s lab -- up" starts it';
    throw new VolumeError('not_found', `no host is called ${name}; hosts: ${names}`);
  }

  /** The host's address on the network that all hosts share. */
  addressOf(name: string): string {
    return this.host(name).address;
  }

  /** Brings the lab up, or what is missing of it. Harmless when it is up. */
  async up(options: UpOptions): Promise<void> {
    await this.#locked(async () => {
      const wasThere = readLabState(this.paths) !== undefined;
      try {
        await this.#steps(upSteps(this, options, this.#signal));
      } catch (thrown) {
        // Interrupted: leave nothing running. Failed: leave it as it is, to be looked at.
        if (this.#signal?.aborted && !wasThere) await takeDown(this, false);
        throw thrown;
      }
    });
  }

  /** Stops everything the lab started and removes what it made; with `purge` the caches too. */
  async down(purge = false): Promise<void> {
    await this.#locked(() => takeDown(this, purge));
  }

  /** What is up, down, frozen or cut off. */
  async status(): Promise<LabStatus> {
    return readStatus(this);
  }

  /** Power cut. */
  async kill(name: string): Promise<void> {
    await this.#locked(() => this.power(name).kill());
  }

  /** Power on with the same disk; returns when the host's engine answers. */
  async start(name: string, timeoutMs = 120_000): Promise<void> {
    await this.#locked(async () => {
      await this.power(name).start(this.image());
      await hostAnswers(this, this.host(name), timeoutMs, () => {});
    });
  }

  /** Stops the whole host where it is. */
  async freeze(name: string): Promise<void> {
    await this.#locked(async () => this.power(name).freeze());
  }

  /** Lets a frozen host go on. */
  async thaw(name: string): Promise<void> {
    await this.#locked(async () => this.power(name).thaw());
  }

  /** Takes the host's network away. `sh` and `docker` still reach it. */
  async cut(name: string): Promise<void> {
    await this.#locked(() => this.network.cut(this.host(name)));
  }

  /** Gives the host its network back. */
  async mend(name: string): Promise<void> {
    await this.#locked(() => this.network.mend(this.host(name)));
  }

  /**
   * Runs a shell command (bash) on a host, also on one whose network is cut. Any exit code is a result.
   * @throws VolumeError `unavailable` when the host is down or frozen, `timeout` after the deadline (default 120 s).
   */
  async sh(name: string, command: string, options: CommandOptions = {}): Promise<ShellResult> {
    const host = this.#reachable(name);
    return runOnHost(name, host.agentSocket, command, { timeoutMs: commandTimeoutMs, ...options });
  }

  /** As sh, but any exit code other than 0 is an error. Returns what it wrote, without the last line end. */
  async shOk(name: string, command: string, options: CommandOptions = {}): Promise<string> {
    return ok(`${name}: ${command}`, await this.sh(name, command, options));
  }

  /** Runs the Docker command line against a host's engine. Paths in the arguments are this machine's. */
  async docker(name: string, args: readonly string[], options: DockerOptions = {}): Promise<ShellResult> {
    const command = this.dockerCommand(name, args);
    const timeoutMs = options.timeoutMs ?? commandTimeoutMs;
    const result = await execa(command.file, command.args, {
      reject: false,
      timeout: timeoutMs,
      env: { ...command.env, ...options.env },
      stripFinalNewline: false,
      ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
      ...(this.#signal ? { cancelSignal: this.#signal } : {}),
    });
    if (result.timedOut) {
      throw new VolumeError(
        'timeout',
        `${name}: docker ${args.join(' ')}: not finished after ${timeoutMs / 1000} s`,
      );
    }
    if (result.exitCode === undefined)
      throw new VolumeError('internal', `${name}: docker: ${result.shortMessage}`);
    return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
  }

  /** As docker, but any exit code other than 0 is an error. Returns what it wrote, without the last line end. */
  async dockerOk(name: string, args: readonly string[], options: DockerOptions = {}): Promise<string> {
    return ok(`${name}: docker ${args.join(' ')}`, await this.docker(name, args, options));
  }

  /** The command that `docker` runs, for callers that want to connect it to a terminal themselves. */
  dockerCommand(name: string, args: readonly string[]): DockerCommand {
    const host = this.#reachable(name);
    return dockerCommand(this.state().tree, join(this.paths.dir, 'docker-config'), host.dockerSocket, args);
  }

  /** How to start a program of this machine inside the lab's network, beside the hosts at 10.99.0.1. */
  inNetwork(file: string, args: readonly string[]): { file: string; args: string[] } {
    return { file: 'ip', args: ['netns', 'exec', this.paths.netns, file, ...args] };
  }

  /** The power switch of a host. Callers other than the lab's own commands use kill, start, freeze and thaw. */
  power(name: string): Host {
    return new Host(this.paths, this.host(name), this.hosts);
  }

  /** What the hosts are started from. */
  image(): HostImage {
    const { tree, base } = this.state();
    return { tree, base, memory: '2G' };
  }

  /** The lab's state. @throws VolumeError `unavailable` when there is no lab. */
  state(): LabState {
    const state = readLabState(this.paths);
    if (state) return state;
    throw new VolumeError('unavailable', 'the lab is not up; "npm run -s lab -- up" starts it');
  }

  #reachable(name: string): HostSpec {
    const host = this.host(name);
    const power = this.power(name).power();
    if (power === 'up') return host;
    const remedy = power === 'down' ? `start ${name}` : `thaw ${name}`;
    throw new VolumeError('unavailable', `${name} is ${power}; "npm run -s lab -- ${remedy}"`);
  }

  #locked<T>(action: () => Promise<T>): Promise<T> {
    return locked(this.paths.lock, lockWaitSeconds, action);
  }
}

/** Makes a folder of the lab anew, empty. */
export async function emptyFolder(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
}

function ok(what: string, result: ShellResult): string {
  if (result.exitCode === 0) return result.stdout.replace(/\n$/, '');
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-2_000);
  throw new VolumeError('internal', `${what}: exit code ${result.exitCode}${said ? `: ${said}` : ''}`);
}
