import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { SwarmNode } from '../../swarm/swarm.ts';
import type { ManagerEvent } from './events.ts';
import { leaderWeights } from './node-facts.ts';

/** ms: between two looks; for which the same must have been better all along; after each move. */
const times = { lookMs: 5_000, steadyMs: 10_000, pauseMs: 60_000 } as const;

/** What the choice depends on. */
export interface EtcdHomes {
  /** Node whose member leads etcd, where it is known. */
  readonly leader: string | undefined;
  readonly nodes: readonly SwarmNode[];
  /** How many volumes each node serves. */
  readonly servers: ReadonlyMap<string, number>;
  /** Node on which vFile's leader runs. */
  readonly self: string;
}

/**
 * Which node's member should lead etcd instead of the one that does: a manager that serves nothing, when the leader's own node
 * serves. A host that is lost with a server and etcd's leader at once costs an election, after which all leases run anew: about
 * 3 s. Where other leaders run is best, for servers are kept away from there.
 * @returns `undefined` when all is well, or no better place is known.
 */
export function betterEtcdLeader({ leader, nodes, servers, self }: EtcdHomes): string | undefined {
  const serves = (id: string): boolean => (servers.get(id) ?? 0) > 0;
  if (leader === undefined || !serves(leader)) return undefined;
  const leads = ({ id, leader: ofSwarm }: SwarmNode): number =>
    (ofSwarm ? leaderWeights.swarm : 0) + (id === self ? leaderWeights.vfile : 0);
  const [best] = nodes
    .filter(({ id, role, availability, state }) => {
      return role === 'manager' && availability === 'active' && state === 'ready' && !serves(id);
    })
    .toSorted((a, b) => leads(b) - leads(a));
  return best?.id;
}

/** What keeping etcd's leader away from servers needs. */
export interface EtcdLeadershipOptions {
  /** @throws when the Swarm does not answer. */
  readonly look: () => Promise<EtcdHomes>;
  /** Has the member of this node lead. @throws VolumeError why it does not. */
  readonly move: (node: string) => Promise<void>;
  readonly clock: Clock;
  readonly emit: (event: ManagerEvent) => void;
}

/** Has etcd led from where no volume is served, as long as there is such a manager and all is calm. Resolves when `signal` is aborted. */
export async function keepEtcdLeaderApart(
  { look, move, clock, emit }: EtcdLeadershipOptions,
  signal: AbortSignal,
): Promise<void> {
  let steady: { readonly pair: string; readonly since: number } | undefined;
  let quietUntil = 0;
  let told: string | undefined;
  while (!signal.aborted) {
    const homes = await look().catch(() => undefined);
    const to = homes && betterEtcdLeader(homes);
    const now = clock.monotonic();
    const pair = `${homes?.leader} ${to}`;
    if (to === undefined) steady = undefined;
    else if (steady?.pair !== pair) steady = { pair, since: now };
    if (to !== undefined && steady && now - steady.since >= times.steadyMs && now >= quietUntil) {
      // After a loss its members need a while to be complete again, and the next loss may follow: so it is tried until it is done.
      const problem = await move(to).then(
        () => undefined,
        (thrown) => toVolumeError(thrown).message,
      );
      if (problem === undefined) quietUntil = clock.monotonic() + times.pauseMs;
      if (problem === undefined || problem !== told) emit({ type: 'etcdLeader', to, problem });
      told = problem;
    }
    await clock.sleep(times.lookMs, signal).catch(() => undefined);
  }
}
