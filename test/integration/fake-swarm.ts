import type { LocalNode, Swarm, SwarmNode } from '../../src/swarm/swarm.ts';

/** The part of a Swarm that etcd's members see, in memory, for several nodes at once. */
export class FakeSwarm {
  readonly #nodes = new Map<string, { address: string; role: 'manager' | 'worker' }>();
  readonly configs = new Map<string, string>();
  /** Whether the Swarm's managers have a quorum. */
  quorum = true;

  set(nodeId: string, address: string, role: 'manager' | 'worker' = 'manager'): void {
    this.#nodes.set(nodeId, { address, role });
  }

  remove(nodeId: string): void {
    this.#nodes.delete(nodeId);
  }

  /** The Swarm through the engine of one node. */
  at(nodeId: string): Pick<Swarm, 'local' | 'nodes' | 'claimConfig'> {
    const needQuorum = (): void => {
      if (!this.quorum) throw new Error('The swarm does not have a leader');
    };
    return {
      local: async (): Promise<LocalNode> => {
        const own = this.#nodes.get(nodeId);
        const managers = [...this.#nodes].filter(([, node]) => node.role === 'manager');
        return {
          nodeId,
          clusterId: 'cluster1',
          address: own?.address ?? '',
          isManager: own?.role === 'manager',
          hostname: nodeId,
          managers: managers.map(([id, { address }]) => ({ nodeId: id, address })),
        };
      },
      nodes: async (): Promise<SwarmNode[]> => {
        needQuorum();
        return [...this.#nodes].map(([id, { address, role }]) => ({
          ...{ id, hostname: id, role, availability: 'active', state: 'ready', address },
          ...{ leader: false, volumeDrivers: [] },
        }));
      },
      claimConfig: async (name, data) => {
        needQuorum();
        const first = this.configs.get(name) ?? data;
        this.configs.set(name, first);
        return first;
      },
    };
  }
}
