import type { Clock } from '../../lib/clock.ts';
import type { SwarmNode } from '../../swarm/swarm.ts';
import type { NodeRecord } from '../types.ts';
import type { NodeFacts } from './observed.ts';

/** Remembers since when each node has been silent; begins anew with each leader, to the benefit of the silent. */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #silentSince = new Map<string, number>();

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /** Must be called while contact with the store is known to be good: a lost contact is nobody's silence. */
  silentMs(nodeId: string, alive: boolean): number {
    if (alive) {
      this.#silentSince.delete(nodeId);
      return 0;
    }
    const now = this.#clock.monotonic();
    const since = this.#silentSince.get(nodeId) ?? now;
    this.#silentSince.set(nodeId, since);
    return now - since;
  }
}

/**
 * What losing a leader adds to a failover. The Swarm's: no task is started before another is elected. etcd's: leases get
 * their full time again. vFile's: hardly anything, since its lease is the shortest and runs out meanwhile.
 */
export const leaderWeights = { swarm: 2, etcd: 2, vfile: 1 } as const;

/** What is known of nodes, from its sources. Nodes that mount a volume but have left the Swarm are in it too. */
export function nodeFacts(options: {
  readonly swarmNodes: readonly SwarmNode[];
  /** Nodes whose plugin holds its lease. */
  readonly alive: ReadonlyMap<string, NodeRecord>;
  /** Nodes that mount the volume, with their host names. */
  readonly mounting: ReadonlyMap<string, string>;
  readonly silentMs: (nodeId: string, alive: boolean) => number;
  /** Node on which etcd's leader runs, where it is known. */
  readonly etcdLeader: string | undefined;
  /** Node on which vFile's leader runs. */
  readonly vfileLeader: string;
  /** How many volumes each node serves. */
  readonly servers: ReadonlyMap<string, number>;
}): NodeFacts[] {
  const { swarmNodes, alive, mounting, silentMs, etcdLeader, vfileLeader, servers } = options;
  const known = swarmNodes.map(
    (node): NodeFacts => ({
      id: node.id,
      host: node.hostname,
      inSwarm: true,
      availability: node.availability,
      state: node.state,
      alive: alive.has(node.id),
      silentMs: silentMs(node.id, alive.has(node.id)),
      drivers: node.volumeDrivers,
      leads:
        (node.leader ? leaderWeights.swarm : 0) +
        (node.id === etcdLeader ? leaderWeights.etcd : 0) +
        (node.id === vfileLeader ? leaderWeights.vfile : 0),
      servers: servers.get(node.id) ?? 0,
    }),
  );
  const inSwarm = new Set(swarmNodes.map((node) => node.id));
  const gone = [...mounting].filter(([id]) => !inSwarm.has(id));
  return [
    ...known,
    ...gone.map(
      ([id, host]): NodeFacts => ({
        id,
        host,
        inSwarm: false,
        availability: 'drain',
        state: 'down',
        alive: alive.has(id),
        silentMs: silentMs(id, alive.has(id)),
        drivers: [],
        leads: 0,
        servers: 0,
      }),
    ),
  ];
}
