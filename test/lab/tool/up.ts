import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { VolumeError } from '../../../src/lib/errors.ts';
import { engineGet } from './engine.ts';
import { type HostSpec, hostSpecs, mostHosts } from './host-spec.ts';
import type { Lab } from './lab.ts';
import { netnsExists } from './paths.ts';
import { preflight } from './preflight.ts';
import { prepareSteps } from './prepare.ts';
import { deployStack } from './stack.ts';
import { readLabState, writeLabState } from './state.ts';
import type { Say, Step } from './steps.ts';
import { formSwarm, type HostDocker } from './swarm.ts';
import { takeDown } from './take-down.ts';
import { waitFor } from './wait.ts';

/** What `up` shall bring up. */
export interface UpOptions {
  readonly nodes: number;
  readonly managers: number;
  /** Stop at the Swarm: neither images nor plugins nor stack. */
  readonly bare: boolean;
  /** Take a lab that is up down first. The way to bring changed code to the hosts. */
  readonly fresh?: boolean;
}

/** Everything that `up` does, in order. */
export function upSteps(lab: Lab, options: UpOptions, signal?: AbortSignal): Step[] {
  check(options);
  const docker: HostDocker = (host, args, timeoutMs) => lab.dockerOk(host, args, { timeoutMs });
  const steps: Step[] = [
    { title: 'Looking at this machine', run: (say) => inspect(lab, options, say) },
    ...prepareSteps(lab, options, signal),
    { title: `Starting ${options.nodes} hosts`, run: (say) => startHosts(lab, say, signal) },
    { title: 'The Swarm', run: (say) => formSwarm(lab.hosts, options.managers, docker, say, signal) },
  ];
  if (!options.bare) steps.push({ title: 'The stack', run: (say) => deployStack(lab, say, signal) });
  steps.push({ title: 'Ready', run: () => writeLabState(lab.paths, { ...lab.state(), ready: true }) });
  return steps;
}

/** Waits until a host that has been started answers: first its agent's wire, then its engine. */
export async function hostAnswers(
  lab: Lab,
  host: HostSpec,
  timeoutMs: number,
  say: Say,
  signal?: AbortSignal,
): Promise<void> {
  const power = lab.power(host.name);
  await waitFor(
    async () => {
      if (power.power() === 'down') {
        return { done: false, reason: `went down while starting: ${power.lastWords()}`, hopeless: true };
      }
      await engineGet(host.dockerSocket, '/_ping', 2_000);
      return { done: true, value: undefined };
    },
    { what: host.name, timeoutMs, say, ...(signal ? { signal } : {}) },
  );
}

function check({ nodes, managers }: UpOptions): void {
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > mostHosts) {
    throw new VolumeError('invalid', `nodes: ${nodes} is not a number from 1 to ${mostHosts}`);
  }
  if (!Number.isInteger(managers) || managers < 1 || managers > nodes) {
    throw new VolumeError(
      'invalid',
      `managers: ${managers} is not a number from 1 to ${nodes}, the number of hosts`,
    );
  }
}

async function inspect(lab: Lab, options: UpOptions, say: Say): Promise<void> {
  await preflight(lab.paths, say);
  await mkdir(lab.paths.dir, { recursive: true });
  if (options.fresh) await takeDown(lab, false);
  const state = readLabState(lab.paths);
  const running = lab.hosts.some((host) => lab.power(host.name).power() !== 'down');
  // Of a lab from before the machine was restarted, or whose start failed, nothing can be used.
  if (state === undefined || !netnsExists(lab.paths.netns) || !(state.ready || running)) {
    return clearRemains(lab, say);
  }
  if (state.nodes !== options.nodes || state.managers !== options.managers) {
    const is = `${state.nodes} hosts, ${state.managers} of them managers`;
    throw new VolumeError('exists', `the lab is up with ${is}; "npm run -s lab -- down" first`);
  }
  if (!options.bare && !state.stack) {
    throw new VolumeError('exists', 'the lab is up without images (--bare); "npm run -s lab -- down" first');
  }
}

async function clearRemains(lab: Lab, say: Say): Promise<void> {
  if (existsSync(lab.paths.hosts)) {
    say('clearing what an earlier lab left');
    await takeDown(lab, false);
  }
}

async function startHosts(lab: Lab, say: Say, signal?: AbortSignal): Promise<void> {
  const { hosts } = lab;
  await lab.network.create(hostSpecs(lab.paths, hosts.length));
  await Promise.all(
    hosts.map(async (host) => {
      await lab.power(host.name).start(lab.image());
      await hostAnswers(lab, host, 120_000, () => {}, signal);
      say(`${host.name} is up at ${host.address}`);
    }),
  );
}
