import type { Mirror } from '../etcd/mirror.ts';
import { parseVolumeKey } from '../vfile/keys.ts';
import { mountRecordSchema, moveRequestSchema, nodeRecordSchema } from '../vfile/types.ts';
import { plainAddress } from './recovery-records.ts';

/** The Swarm as the store shows it: who lives, and who has this volume mounted. */
export class SwarmView {
  readonly #nodes: Mirror;
  readonly #volume: Mirror;

  constructor({ nodes, volume }: { nodes: Mirror; volume: Mirror }) {
    this.#nodes = nodes;
    this.#volume = volume;
  }

  /** The address of a node by its own record; `undefined` while its plugin is not there. */
  addressOf(node: string): string | undefined {
    return this.#liveNodes().get(node);
  }

  /**
   * Addresses of all who may speak to the server: nodes that live, and nodes with a mount, whose plugin may just be
   * away while their kernels go on. Sorted.
   */
  mayMount(): string[] {
    const addresses = [...this.#liveNodes().values(), ...this.#mounts().values()];
    return [...new Set(addresses)].sort();
  }

  /** Whether any node has the volume mounted. */
  get mounted(): boolean {
    return this.#mounts().size > 0;
  }

  /** Whether the leading manager wants the server with this epoch to stop, because a standby is to take over. */
  asksToStop(epoch: number): boolean {
    for (const { key, value } of this.#volume.entries.values()) {
      if (parseVolumeKey(key)?.part !== 'move') continue;
      const move = moveRequestSchema.safeParse(value);
      return move.success && move.data.stop === true && move.data.epoch === epoch;
    }
    return false;
  }

  /**
   * Whether a client at this address can come back to reclaim: its node lives and has the volume mounted. A node without
   * a live record has been cut off or lost power; everybody else would wait for it in grace.
   */
  mayReturn(address: string): boolean {
    const mounts = this.#mounts();
    for (const [node, own] of this.#liveNodes()) {
      if (own === address && mounts.has(node)) return true;
    }
    return false;
  }

  #liveNodes(): Map<string, string> {
    const found = new Map<string, string>();
    for (const { value } of this.#nodes.entries.values()) {
      const record = nodeRecordSchema.safeParse(value);
      if (record.success) found.set(record.data.node, plainAddress(record.data.address));
    }
    return found;
  }

  #mounts(): Map<string, string> {
    const found = new Map<string, string>();
    for (const { key, value } of this.#volume.entries.values()) {
      if (parseVolumeKey(key)?.part !== 'mounts') continue;
      const record = mountRecordSchema.safeParse(value);
      if (record.success) found.set(record.data.node, plainAddress(record.data.address));
    }
    return found;
  }
}
