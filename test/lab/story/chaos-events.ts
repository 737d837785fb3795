import { serviceNameOf } from '../../../src/vfile/names.ts';
import type { Lab } from '../tool/lab.ts';
import type { EventKind } from './chaos-plan.ts';
import { setAvailability } from './order-node.ts';

/** What an event needs to know besides its host. */
export interface Surroundings {
  readonly lab: Lab;
  /** The volume that the clients use. */
  readonly volume: string;
}

interface Event {
  /** Does the harm. @returns false when there was nothing to do it to. */
  strike(on: Surroundings, host: string): Promise<boolean>;
  /** Undoes what does not come back by itself; harmless when there is nothing to undo. */
  heal?(on: Surroundings, host: string): Promise<void>;
}

/** Sends a signal to the oldest process of a host whose command line matches: of ganesha's that is the one that serves. */
const signal = (name: string, pattern: string): Event => ({
  strike: async ({ lab }, host) => {
    const { exitCode } = await lab.sh(host, `pkill -${name} --oldest -f '${pattern}'`);
    return exitCode === 0;
  },
});

/** Kills the container of a Swarm service on a host. */
const container = (service: (volume: string) => string): Event => ({
  strike: async ({ lab, volume }, host) => {
    const filter = `label=com.docker.swarm.service.name=${service(volume)}`;
    const ids = (await lab.dockerOk(host, ['ps', '--quiet', '--filter', filter])).split('\n').filter(Boolean);
    if (ids.length === 0) return false;
    // One that ended in this very moment is no failure.
    await lab.docker(host, ['kill', ...ids]);
    return true;
  },
});

const done = async (work: Promise<unknown>): Promise<true> => {
  await work;
  return true;
};

/** `vfile volume move`, as an administrator would, in a manager's container. */
async function move({ lab, volume }: Surroundings): Promise<boolean> {
  const filter = 'label=com.docker.swarm.service.name=vfile_manager';
  for (const host of lab.hostNames) {
    const [id] = (await lab.dockerOk(host, ['ps', '--quiet', '--filter', filter])).split('\n');
    if (!id) continue;
    await lab.dockerOk(host, ['exec', id, 'vfile', 'volume', 'move', volume]);
    return true;
  }
  return false;
}

/** How each kind of event is done and undone. */
export const events: Readonly<Record<EventKind, Event>> = {
  power: {
    strike: ({ lab }, host) => done(lab.kill(host)),
    heal: ({ lab }, host) => lab.start(host),
  },
  cut: {
    strike: ({ lab }, host) => done(lab.cut(host)),
    heal: ({ lab }, host) => lab.mend(host),
  },
  freeze: {
    strike: ({ lab }, host) => done(lab.freeze(host)),
    heal: ({ lab }, host) => lab.thaw(host),
  },
  drain: {
    strike: ({ lab }, host) => done(setAvailability(lab, host, 'drain')),
    heal: ({ lab }, host) => setAvailability(lab, host, 'active'),
  },
  move: { strike: move },
  dockerd: {
    strike: async ({ lab }, host) => (await lab.sh(host, 'pkill -KILL -x dockerd')).exitCode === 0,
  },
  ganesha: signal('KILL', '[g]anesha.nfsd'),
  'ganesha-hang': signal('STOP', '[g]anesha.nfsd'),
  'file-server': container(serviceNameOf),
  'vfile-plugin': signal('KILL', '[v]file-plugin.mjs'),
  'vdvs-plugin': signal('KILL', '[v]dvs-plugin-main.mjs'),
  'vdvs-guard': signal('KILL', '[v]dvs-plugin.mjs'),
  etcd: container(() => 'vfile_etcd'),
  manager: container(() => 'vfile_manager'),
  'vdvs-service': container(() => 'vfile_vdvs'),
};

/** Brings all hosts back to power, network and work, whatever was done to them. @returns what could not be healed. */
export async function healAll(on: Surroundings): Promise<string[]> {
  const { lab } = on;
  const problems: string[] = [];
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    await work().catch((thrown: unknown) => {
      problems.push(`${what}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    });
  };
  const cut = await lab.network.cutTaps();
  for (const { name, tap } of lab.hosts) {
    const power = lab.power(name).power();
    if (power === 'frozen') await attempt(`thaw of ${name}`, () => lab.thaw(name));
    if (cut.has(tap)) await attempt(`network of ${name}`, () => lab.mend(name));
    if (power === 'down') await attempt(`start of ${name}`, () => lab.start(name));
  }
  for (const name of lab.hostNames) await attempt(name, () => setAvailability(lab, name, 'active'));
  return problems;
}
