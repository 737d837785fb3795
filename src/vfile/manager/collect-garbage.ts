import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import type { ServiceState, Swarm } from '../../swarm/swarm.ts';
import { vfileKeys } from '../keys.ts';
import type { ManagerEvent } from './events.ts';

/** A service must have been without a volume for this long before it is removed. */
const orphanMs = 60_000;

/** What the collector needs. */
export interface GarbageParts {
  readonly store: Store;
  readonly swarm: Swarm;
  readonly clock: Clock;
  readonly emit: (event: ManagerEvent) => void;
}

/**
 * Removes services that carry this cluster's label but belong to no volume: left behind when a manager died between two
 * steps, say. Only after two looks more than a minute apart, and with a last look at the store itself. Base volumes are never
 * collected: a disk holds data, and is removed only in the course of its volume's own removal.
 */
export class GarbageCollector {
  readonly #parts: GarbageParts;
  /** Service IDs, and since when they have been seen without a volume. */
  readonly #orphans = new Map<string, number>();

  constructor(parts: GarbageParts) {
    this.#parts = parts;
  }

  /** One look at all services of this cluster. */
  async collect(
    services: ReadonlyMap<string, readonly ServiceState[]>,
    volumes: ReadonlySet<string>,
  ): Promise<void> {
    const { clock, swarm, store, emit } = this.#parts;
    const now = clock.monotonic();
    const seen = new Set<string>();
    for (const [volume, found] of services) {
      if (volumes.has(volume)) continue;
      for (const service of found) {
        seen.add(service.id);
        const since = this.#orphans.get(service.id) ?? now;
        this.#orphans.set(service.id, since);
        if (now - since < orphanMs || (await store.get(vfileKeys.spec(volume)))) continue;
        await swarm.removeService(service.id);
        emit({ type: 'garbage', volume, service: service.name });
      }
    }
    for (const id of this.#orphans.keys()) {
      if (!seen.has(id)) this.#orphans.delete(id);
    }
  }
}
