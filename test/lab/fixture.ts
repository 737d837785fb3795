import { z } from 'zod';
import { volumeMount } from './story/volume-mount.ts';
import { etcdVotes } from './tool/etcd-votes.ts';
import { Lab } from './tool/lab.ts';
import { waitFor } from './tool/wait.ts';

/** The image that test containers run: Debian's own, with a shell, perl and coreutils. */
export const image = 'debian:trixie-slim';

const inspectSchema = z.tuple([
  z.object({
    Name: z.string(),
    Driver: z.string(),
    Scope: z.string(),
    CreatedAt: z.string(),
    Mountpoint: z.string(),
    Status: z.record(z.string(), z.unknown()).nullish(),
  }),
]);

/** The lab that `global-setup.ts` brought up. Problems of one call are errors with the command's own words. */
export function openLab(): Lab {
  return new Lab({ steps: async () => undefined });
}

/** Seen once by this test file; who changes the members looks again. */
const seen = { votes: false };

/**
 * Waits until every host has power, network, engine and plugins, the whole stack runs, and every host has a vote in etcd: just
 * after the start some have none yet, which takes etcd some 5 s each, and then the loss of one host can be that of the quorum.
 * @param lookAgain also at the votes when they have been seen: a host that was away for long has its member of etcd replaced by
 *   Swarm some time after it is back.
 */
export async function whole(
  lab: Lab,
  timeoutMs = 180_000,
  { lookAgain = false }: { readonly lookAgain?: boolean } = {},
): Promise<void> {
  if (lookAgain) seen.votes = false;
  await waitFor(
    async () => {
      const { hosts, services } = await lab.status();
      const reasons = hosts.flatMap((host) => {
        if (host.power !== 'up' || host.network !== 'connected')
          return [`${host.name} is ${host.power}, ${host.network}`];
        if (host.engine !== 'up' || !['manager', 'worker'].includes(host.swarm)) {
          return [`${host.name}: engine ${host.engine}, Swarm ${host.swarm}`];
        }
        const enabled = ['vfile', 'vdvs'].filter((name) => host.plugins.includes(`${name}:latest enabled`));
        return enabled.length === 2 ? [] : [`${host.name}: plugins ${host.plugins.join(', ')}`];
      });
      for (const service of services) {
        const [running, wanted] = service.split(' ')[1]?.split('/') ?? [];
        if (running !== wanted) reasons.push(`service ${service}`);
      }
      if (services.length === 0) reasons.push('no manager answers');
      if (reasons.length > 0) {
        // What was away may have taken a member of etcd along, which comes back later than its service's task.
        seen.votes = false;
        return { done: false, reason: reasons.join('; ') };
      }
      for (const { name } of hosts) await lab.dockerOk(name, ['volume', 'ls', '-q']);
      const managers = hosts.filter(({ swarm }) => swarm === 'manager').map(({ name }) => name);
      const votes = seen.votes ? { done: true as const } : await etcdVotes(lab, managers);
      if (!votes.done) return votes;
      seen.votes = true;
      return { done: true, value: undefined };
    },
    // Each look asks every engine for everything: more often, it would take the processor from those that are on their way.
    { what: 'the whole lab', timeoutMs, everyMs: 2_000 },
  );
}

/** `docker volume inspect` of one volume on a host. */
export async function inspect(
  lab: Lab,
  host: string,
  volume: string,
): Promise<z.infer<typeof inspectSchema>[0]> {
  return inspectSchema.parse(JSON.parse(await lab.dockerOk(host, ['volume', 'inspect', volume])))[0];
}

/** Waits until the volume's status, seen from `host`, gives `look` what it looks for. @param blame what to tell meanwhile. */
async function reachStatus<T>(
  { lab, host, volume }: { readonly lab: Lab; readonly host: string; readonly volume: string },
  look: (status: Record<string, unknown>) => T | undefined,
  how: { readonly what: string; readonly timeoutMs: number; readonly everyMs?: number },
  blame: (status: Record<string, unknown>) => unknown = (status) => status,
): Promise<T> {
  return await waitFor(
    async () => {
      const status = (await inspect(lab, host, volume)).Status ?? {};
      const value = look(status);
      if (value !== undefined) return { done: true, value };
      return { done: false, reason: JSON.stringify(blame(status)) };
    },
    { everyMs: 250, ...how },
  );
}

/** Waits until the volume's `Volume Status`, seen from `host`, is `state`. */
export async function reachState(
  lab: Lab,
  host: string,
  volume: string,
  state: string,
  timeoutMs = 90_000,
): Promise<Record<string, unknown>> {
  return await reachStatus(
    { lab, host, volume },
    (status) => (status['Volume Status'] === state ? status : undefined),
    { what: `${volume} to be ${state}`, timeoutMs },
  );
}

/** Waits until another host is ready to take the volume over: it is so again some time after each failover. */
export async function reachStandby(lab: Lab, host: string, volume: string): Promise<void> {
  await reachStatus({ lab, host, volume }, (status) => status['Standby node'], {
    what: `a standby for ${volume}`,
    timeoutMs: 90_000,
    everyMs: 1_000,
  });
}

/** Waits until no host uses the volume any more; an engine that was killed has not told of the end of some containers. */
export async function reachUnused(lab: Lab, host: string, volume: string, timeoutMs = 30_000): Promise<void> {
  await reachStatus(
    { lab, host, volume },
    (status) => status['Global Refcount'] === 0 || undefined,
    { what: `${volume} to be unused`, timeoutMs },
    (status) => status['Mounted by'],
  );
}

/** Creates a vFile volume. */
export async function createVolume(
  lab: Lab,
  host: string,
  name: string,
  options: Record<string, string> = {},
): Promise<void> {
  const flags = Object.entries(options).flatMap(([key, value]) => ['--opt', `${key}=${value}`]);
  await lab.dockerOk(host, ['volume', 'create', '--driver', 'vfile', ...flags, name]);
}

/** Runs a shell command in a container that has `volume` at `/volume`, and removes the container. */
export async function inVolume(lab: Lab, host: string, volume: string, command: string): Promise<string> {
  return await lab.dockerOk(host, ['run', '--rm', ...volumeFlags(volume), image, 'sh', '-c', command]);
}

/** Starts a container that only holds the volume mounted. Remove it with `docker rm --force`. */
export async function holdVolume(lab: Lab, host: string, volume: string, container: string): Promise<void> {
  await lab.dockerOk(host, [
    'run',
    '--detach',
    '--init',
    '--name',
    container,
    ...volumeFlags(volume),
    image,
    'sleep',
    'infinity',
  ]);
}

/** Removes containers, whether they are there or not. */
export async function removeContainers(lab: Lab, host: string, ...containers: string[]): Promise<void> {
  await lab.dockerOk(host, ['rm', '--force', ...containers]);
}

/** Removes a volume once nobody uses it any more: Docker's own release of a container's mounts may lag behind. */
export async function removeVolume(lab: Lab, host: string, volume: string): Promise<void> {
  await lab.dockerOk(host, ['volume', 'rm', volume]);
}

/** The host on which the volume's file server runs now. */
export async function serverHost(lab: Lab, asker: string, volume: string): Promise<string> {
  return await waitFor(
    async () => {
      const status = (await inspect(lab, asker, volume)).Status ?? {};
      const name = status['Server node'];
      if (typeof name === 'string' && lab.hostNames.includes(name)) return { done: true, value: name };
      return { done: false, reason: JSON.stringify(status) };
    },
    { what: `a server for ${volume}`, timeoutMs: 60_000 },
  );
}

function volumeFlags(volume: string): string[] {
  return [...['--network', 'none'], ...['--mount', volumeMount(volume)]];
}
