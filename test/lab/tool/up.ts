import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { VolumeError } from '../../../src/lib/errors.ts';
import { prepareBaseDisk } from './base-disk.ts';
import { engineGet } from './engine.ts';
import { type HostSpec, hostSpecs, mostHosts } from './host-spec.ts';
import { emptyFolder, type Lab } from './lab.ts';
import { preflight } from './preflight.ts';
import { productContent } from './product.ts';
import { deployStack } from './stack.ts';
import { readLabState, writeLabState } from './state.ts';
import type { Say, Step } from './steps.ts';
import { formSwarm } from './swarm.ts';
import { takeDown } from './take-down.ts';
import { prepareTree, type Tree } from './tree.ts';
import { waitFor } from './wait.ts';

/** What `up` shall bring up. */
export interface UpOptions {
  readonly nodes: number;
  readonly managers: number;
  /** Stop at the Swarm: neither images nor plugins nor stack. */
  readonly bare: boolean;
}

/** Everything that `up` does, in order. */
export function upSteps(lab: Lab, options: UpOptions, signal?: AbortSignal): Step[] {
  check(options);
  const { paths } = lab;
  const made: { tree?: Tree } = {};
  const steps: Step[] = [
    { title: 'Looking at this machine', run: (say) => inspect(lab, options, say) },
    {
      title: "The hosts' file system",
      run: async (say) => {
        made.tree = await prepareTree(paths, say, signal);
      },
    },
    {
      title: options.bare ? "The hosts' disk" : "Images, plugins and the hosts' disk",
      run: async (say) => {
        if (made.tree === undefined) throw new VolumeError('internal', 'the tree has not been prepared');
        if (readLabState(paths)) return say('the hosts have theirs');
        const content = options.bare ? undefined : await productContent(paths, say, signal);
        const base = await prepareBaseDisk(paths, made.tree, content, say, signal);
        await emptyFolder(paths.logs);
        const { nodes, managers } = options;
        await writeLabState(paths, {
          nodes,
          managers,
          tree: made.tree.root,
          base,
          ready: false,
          stack: !options.bare,
        });
      },
    },
    { title: `Starting ${options.nodes} hosts`, run: (say) => startHosts(lab, say, signal) },
    {
      title: 'The Swarm',
      run: (say) =>
        formSwarm(
          lab.hosts,
          options.managers,
          (host, args, timeoutMs) => lab.dockerOk(host, args, { timeoutMs }),
          say,
        ),
    },
  ];
  if (!options.bare) steps.push({ title: 'The stack', run: (say) => deployStack(lab, say, signal) });
  return [
    ...steps,
    {
      title: 'Ready',
      run: () => writeLabState(paths, { ...lab.state(), ready: true, stack: !options.bare }),
    },
  ];
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
      if (power.power() === 'down') return { done: true, value: false };
      await engineGet(host.dockerSocket, '/_ping', 2_000);
      return { done: true, value: true };
    },
    { what: host.name, timeoutMs, say, ...(signal ? { signal } : {}) },
  ).then((answers) => {
    if (!answers)
      throw new VolumeError('unavailable', `${host.name} went down while starting: ${power.lastWords()}`);
  });
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
  const state = readLabState(lab.paths);
  if (state === undefined) return clearRemains(lab, say);
  const running = lab.hosts.some((host) => lab.power(host.name).power() !== 'down');
  if (!running) return clearRemains(lab, say);
  if (state.nodes !== options.nodes || state.managers !== options.managers) {
    const is = `${state.nodes} hosts, ${state.managers} of them managers`;
    throw new VolumeError('exists', `the lab is up with ${is}; "npm run -s lab -- down" first`);
  }
  if (!options.bare && !state.stack) {
    throw new VolumeError('exists', 'the lab is up without images (--bare); "npm run -s lab -- down" first');
  }
}

/** A lab of which nothing runs any more (the machine was restarted, say) is begun anew. */
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
