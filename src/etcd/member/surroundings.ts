import { toVolumeError } from '../../lib/errors.ts';
import { hostPort } from '../../lib/host-port.ts';
import type { Log } from '../../lib/log.ts';
import type { LocalNode, Swarm } from '../../swarm/swarm.ts';
import { writeHosts } from './hosts-file.ts';
import type { MemberSettings } from './settings.ts';
import type { Manager } from './types.ts';

/** What finding the managers needs. */
export interface SurroundingsOptions {
  readonly swarm: Pick<Swarm, 'local' | 'nodes'>;
  readonly settings: Pick<MemberSettings, 'clientPort' | 'hostsFile'>;
  readonly log: Log;
}

/** Where this node and the other managers are, as last seen; keeps the hosts file in step. */
export class Surroundings {
  readonly #options: SurroundingsOptions;
  #self: Manager | undefined;
  #managers: readonly Manager[] = [];

  constructor(options: SurroundingsOptions) {
    this.#options = options;
  }

  /** All managers, this node included. */
  get managers(): readonly Manager[] {
    return this.#managers;
  }

  /** Client addresses of the members that should be: this node's own first, if wanted at all. */
  addresses(which: 'all' | 'others'): string[] {
    const { clientPort } = this.#options.settings;
    const self = this.#self;
    const others = this.#managers.filter((manager) => manager.nodeId !== self?.nodeId);
    const wanted = which === 'all' && self ? [self, ...others] : others;
    return wanted.map((manager) => hostPort(manager.address, clientPort));
  }

  /**
   * Looks again: as the Swarm lists its nodes, or, when it has no quorum, as the engine and we ourselves remember them.
   * @throws VolumeError when the engine does not answer.
   */
  async refresh(remembered: readonly Manager[]): Promise<LocalNode> {
    const { swarm, settings } = this.#options;
    const local = await swarm.local();
    const found = await this.#listed();
    const listed = found ?? [...remembered, ...this.#managers, ...local.managers];
    const byNode = new Map(listed.map(({ nodeId, address }) => [nodeId, address]));
    byNode.set(local.nodeId, local.address);
    // The engine lists a manager that it cannot see at the moment without an address.
    this.#managers = [...byNode]
      .map(([nodeId, address]) => ({ nodeId, address }))
      .filter((m) => m.address !== '');
    this.#self = { nodeId: local.nodeId, address: local.address };
    await writeHosts(settings.hostsFile, this.#managers);
    return local;
  }

  async #listed(): Promise<Manager[] | undefined> {
    try {
      const nodes = await this.#options.swarm.nodes();
      return nodes
        .filter((node) => node.role === 'manager')
        .map(({ id, address }) => ({ nodeId: id, address }));
    } catch (thrown) {
      this.#options.log.debug('the Swarm does not list its nodes', { why: toVolumeError(thrown).message });
      return undefined;
    }
  }
}
