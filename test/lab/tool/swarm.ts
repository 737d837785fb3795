import { z } from 'zod';
import { engineJson } from './engine.ts';
import type { HostSpec } from './host-spec.ts';
import { waitFor } from './wait.ts';

const infoSchema = z.object({
  Swarm: z.object({
    NodeID: z.string(),
    LocalNodeState: z.string(),
    ControlAvailable: z.boolean(),
    Error: z.string(),
  }),
});
const nodeSchema = z.array(
  z.object({
    ID: z.string(),
    Description: z.object({ Hostname: z.string().optional() }),
    Status: z.object({ State: z.string(), Message: z.string().optional() }),
    ManagerStatus: z.object({ Reachability: z.string(), Leader: z.boolean().optional() }).optional(),
  }),
);

/** An engine's place in the Swarm. */
export interface SwarmPlace {
  readonly state: string;
  readonly manager: boolean;
  readonly nodeId: string;
}

/** Runs the Docker command line against a host's engine and returns its output. */
export type HostDocker = (host: string, args: readonly string[], timeoutMs: number) => Promise<string>;

/** What the engine of this host says about its own place in the Swarm. */
export async function swarmPlace(host: HostSpec): Promise<SwarmPlace> {
  const { Swarm } = await engineJson(host.dockerSocket, '/info', infoSchema);
  return { state: Swarm.LocalNodeState, manager: Swarm.ControlAvailable, nodeId: Swarm.NodeID };
}

/** Forms the Swarm: the first host starts it, the others join. Hosts that are in it already are left alone. */
export async function formSwarm(
  hosts: readonly HostSpec[],
  managers: number,
  docker: HostDocker,
  say: (text: string) => void,
  signal?: AbortSignal,
) {
  const [first, ...others] = hosts;
  if (first === undefined) return;
  if ((await swarmPlace(first)).state === 'inactive') {
    await docker(first.name, ['swarm', 'init', ...addresses(first)], 60_000);
  }
  const token = (role: string) => docker(first.name, ['swarm', 'join-token', '-q', role], 30_000);
  const [managerToken, workerToken] = [await token('manager'), await token('worker')];
  const join = async (host: HostSpec) => {
    if ((await swarmPlace(host)).state !== 'inactive') return;
    say(`${host.name} joins`);
    const secret = (host.index <= managers ? managerToken : workerToken).trim();
    await docker(
      host.name,
      ['swarm', 'join', '--token', secret, ...addresses(host), `${first.address}:2377`],
      90_000,
    );
  };
  // Managers one after the other: each changes the membership of the raft group.
  for (const host of others.filter((each) => each.index <= managers)) await join(host);
  await Promise.all(others.filter((each) => each.index > managers).map(join));
  await swarmReady(first, hosts, managers, say, signal);
}

/** Waits until every host is a ready node and every manager reachable. */
export async function swarmReady(
  asked: HostSpec,
  hosts: readonly HostSpec[],
  managers: number,
  say: (text: string) => void,
  signal?: AbortSignal,
) {
  await waitFor(
    async () => {
      const nodes = await engineJson(asked.dockerSocket, '/nodes', nodeSchema);
      const byName = new Map(nodes.map((node) => [node.Description.Hostname, node]));
      const bad = hosts.flatMap((host) => {
        const node = byName.get(host.name);
        if (node === undefined) return [`${host.name} is not in the Swarm`];
        if (node.Status.State !== 'ready')
          return [`${host.name} is ${node.Status.State} ${node.Status.Message ?? ''}`];
        const reach = node.ManagerStatus?.Reachability;
        return host.index <= managers && reach !== 'reachable'
          ? [`manager ${host.name} is ${reach ?? 'no manager'}`]
          : [];
      });
      return bad.length === 0 ? { done: true, value: undefined } : { done: false, reason: bad.join(', ') };
    },
    { what: 'the Swarm', timeoutMs: 90_000, say, ...(signal ? { signal } : {}) },
  );
}

function addresses(host: HostSpec): string[] {
  return [
    '--advertise-addr',
    host.address,
    '--listen-addr',
    `${host.address}:2377`,
    '--data-path-addr',
    host.address,
  ];
}
