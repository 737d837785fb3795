import { engineGet } from './engine.ts';
import type { Power } from './host.ts';
import type { Lab } from './lab.ts';
import { readLabState } from './state.ts';
import { swarmPlace } from './swarm.ts';

/** One host as `lab status` shows it. */
export interface HostStatus {
  readonly name: string;
  readonly address: string;
  readonly power: Power;
  readonly network: 'connected' | 'cut';
  /** Whether the engine answers; `unknown` when the host has no power or stands still. */
  readonly engine: 'up' | 'down' | 'unknown';
  /** `manager`, `worker`, `none`, or `unknown`. */
  readonly swarm: string;
  /** Managed plugins as `name enabled` or `name disabled`. */
  readonly plugins: readonly string[];
}

/** The whole lab as `lab status` shows it. */
export interface LabStatus {
  readonly up: boolean;
  readonly ready: boolean;
  readonly dir: string;
  readonly netns: string;
  readonly hosts: readonly HostStatus[];
  /** Stack services as `name running/wanted`. */
  readonly services: readonly string[];
}

/** Looks at everything once; never fails because a host does not answer. */
export async function readStatus(lab: Lab): Promise<LabStatus> {
  const state = readLabState(lab.paths);
  const cut = await lab.network.cutTaps();
  const hosts = await Promise.all(
    lab.hosts.map(async (host): Promise<HostStatus> => {
      const power = lab.power(host.name).power();
      const network = cut.has(host.tap) ? 'cut' : 'connected';
      const known = { name: host.name, address: host.address, power, network } as const;
      if (power !== 'up') return { ...known, engine: 'unknown', swarm: 'unknown', plugins: [] };
      try {
        await engineGet(host.dockerSocket, '/_ping', 5_000);
      } catch {
        return { ...known, engine: 'down', swarm: 'unknown', plugins: [] };
      }
      try {
        const place = await swarmPlace(host);
        const role = place.state === 'inactive' ? 'none' : place.manager ? 'manager' : 'worker';
        const swarm = place.state === 'active' || role === 'none' ? role : `${role} (${place.state})`;
        return { ...known, engine: 'up', swarm, plugins: await plugins(lab, host.name) };
      } catch {
        return { ...known, engine: 'up', swarm: 'unknown', plugins: [] };
      }
    }),
  );
  const anyUp = hosts.some((host) => host.power !== 'down');
  const services = state?.stack ? await stackServices(lab, hosts) : [];
  return {
    up: anyUp,
    ready: anyUp && state?.ready === true,
    dir: lab.paths.dir,
    netns: lab.paths.netns,
    hosts,
    services,
  };
}

async function plugins(lab: Lab, host: string): Promise<string[]> {
  const format = '{{.Name}} {{if .Enabled}}enabled{{else}}disabled{{end}}';
  return lines(await lab.dockerOk(host, ['plugin', 'ls', '--format', format], { timeoutMs: 10_000 }));
}

async function stackServices(lab: Lab, hosts: readonly HostStatus[]): Promise<string[]> {
  const managers = hosts.filter((host) => host.swarm === 'manager');
  for (const { name } of managers) {
    const args = ['service', 'ls', '--format', '{{.Name}} {{.Replicas}}'];
    const result = await lab.docker(name, args, { timeoutMs: 10_000 }).catch(() => undefined);
    if (result?.exitCode === 0) return lines(result.stdout);
  }
  return [];
}

function lines(text: string): string[] {
  return text.split('\n').filter(Boolean);
}
