import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { HostSpec } from './host-spec.ts';
import type { LabPaths } from './paths.ts';
import { childrenOf, isAlive, isTraced, namespacePeers, processInfo, signalProcess } from './processes.ts';
import { readHostState, writeHostState } from './state.ts';
import { waitFor } from './wait.ts';

/** Whether a host has power and runs. */
export type Power = 'up' | 'down' | 'frozen';

/** What all hosts are started from. */
export interface HostImage {
  readonly tree: string;
  readonly base: string;
  /** Memory as the kernel's `mem=` wants it. */
  readonly memory: string;
}

/** The power switch of one host. Knows the host only as processes; what runs in it is not its business. */
export class Host {
  readonly spec: HostSpec;
  readonly #paths: LabPaths;
  readonly #all: readonly HostSpec[];

  constructor(paths: LabPaths, spec: HostSpec, all: readonly HostSpec[]) {
    this.#paths = paths;
    this.spec = spec;
    this.#all = all;
  }

  /** Whether it has power now. */
  power(): Power {
    if (!this.#isAlive()) return 'down';
    const init = this.#init();
    return init !== undefined && processInfo(init)?.state === 'T' ? 'frozen' : 'up';
  }

  /** Power on, with the disk it had. Returns as soon as the kernel has been started. */
  async start(image: HostImage): Promise<void> {
    if (this.power() !== 'down') return;
    const { spec } = this;
    await rm(join(spec.dir, 'uml'), { recursive: true, force: true });
    for (const dir of [join(spec.dir, 'uml'), spec.shared, spec.log, this.#paths.sockets]) {
      await mkdir(dir, { recursive: true });
    }
    for (const store of ['default', 'second'])
      await mkdir(join(this.#paths.datastores, store), { recursive: true });
    const output = openSync(join(spec.log, 'launch.log'), 'a');
    const child = spawn(
      'ip',
      ['netns', 'exec', this.#paths.netns]
        .concat(['unshare', '--mount', '--pid', '--fork', '--kill-child'])
        .concat(['sh', join(this.#paths.hostScripts, 'launch.sh')]),
      { detached: true, stdio: ['ignore', output, output], env: this.#environment(image), cwd: '/' },
    );
    child.unref();
    closeSync(output);
    const started = child.pid === undefined ? undefined : processInfo(child.pid);
    if (started === undefined) throw new VolumeError('internal', `${spec.name} could not be started`);
    await writeHostState(spec, { pid: started.pid, startTime: started.startTime });
  }

  /** Power cut: everything of the host is gone at once, what it had not written to its disk is lost. */
  async kill(): Promise<void> {
    const state = readHostState(this.spec);
    if (state === undefined || !this.#isAlive()) return;
    // The first process of the namespace takes all others with it, and only then ends the one that started it.
    for (const pid of [...childrenOf(state.pid), state.pid]) {
      if (signalProcess(pid, 'SIGKILL') && pid !== state.pid) await this.#gone(state, 5_000).catch(() => {});
    }
    await this.#gone(state, 10_000);
  }

  /** Stops the whole host where it is; its clock goes on. */
  freeze(): void {
    this.#signalAll('SIGSTOP');
  }

  /** Lets a frozen host go on. */
  thaw(): void {
    this.#signalAll('SIGCONT');
  }

  /** Why a host that was started is down, from what it last wrote. */
  lastWords(): string {
    return ['launch.log', 'console.log']
      .map((name) => join(this.spec.log, name))
      .filter(existsSync)
      .flatMap((file) => readFileSync(file, 'utf8').trim().split('\n').slice(-3))
      .filter(Boolean)
      .join('; ');
  }

  async #gone(state: { pid: number; startTime: string }, timeoutMs: number): Promise<void> {
    await waitFor(
      () =>
        isAlive(state.pid, state.startTime)
          ? { done: false, reason: `process ${state.pid} still runs` }
          : { done: true, value: undefined },
      { what: `power cut of ${this.spec.name}`, timeoutMs, everyMs: 10 },
    );
  }

  #isAlive(): boolean {
    const state = readHostState(this.spec);
    return state !== undefined && isAlive(state.pid, state.startTime);
  }

  /** First process of the host's PID namespace; there is none yet just after the start. */
  #init(): number | undefined {
    const state = readHostState(this.spec);
    return state !== undefined && this.#isAlive() ? childrenOf(state.pid)[0] : undefined;
  }

  #signalAll(signal: NodeJS.Signals): void {
    const init = this.#init();
    if (init === undefined) throw new VolumeError('unavailable', `${this.spec.name} is down`);
    // The kernel traces its user processes: they stand still with it, and it panics when one of them is
    // stopped by anybody else.
    for (const pid of namespacePeers(init)) if (!isTraced(pid)) signalProcess(pid, signal);
  }

  #environment(image: HostImage): NodeJS.ProcessEnv {
    const { spec } = this;
    return {
      PATH: process.env.PATH,
      LAB_NAME: spec.name,
      LAB_TREE: image.tree,
      LAB_BASE: image.base,
      LAB_MEM: image.memory,
      LAB_HOST_DIR: spec.dir,
      LAB_SRC: this.#paths.hostScripts,
      LAB_SOCKETS: this.#paths.sockets,
      LAB_DATASTORES: this.#paths.datastores,
      LAB_SHARED: spec.shared,
      LAB_LOG: spec.log,
      LAB_TAP: spec.tap,
      LAB_MGMT_TAP: spec.managementTap,
      LAB_MAC: spec.mac,
      LAB_MGMT_MAC: spec.managementMac,
      LAB_ADDRESS: spec.address,
      LAB_MGMT_GUEST: spec.managementAddress,
      LAB_HOSTS: this.#all.map((each) => `${each.address}=${each.name}`).join(';'),
    };
  }
}
