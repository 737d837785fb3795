import { createMemoryStore, type MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Lease, Store } from '../../../src/etcd/store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { createRulesGate } from '../../../src/vdvs/rules/gate.ts';
import { createAttachments } from '../../../src/vdvs/service/attachments.ts';
import { createResizing } from '../../../src/vdvs/service/resize.ts';
import { createScanner } from '../../../src/vdvs/service/scan.ts';
import type { ServiceParts } from '../../../src/vdvs/service/service-parts.ts';
import { createSnapshots } from '../../../src/vdvs/service/snapshots.ts';
import { createVolumes } from '../../../src/vdvs/service/volumes.ts';
import type { VolumeId } from '../../../src/vdvs/types.ts';
import { memoryBackend } from './memory-backend.ts';

/** All operations of one service over parts that tests may replace. */
export function serviceOf(parts: ServiceParts) {
  return {
    parts,
    volumes: createVolumes(parts),
    attachments: createAttachments(parts),
    resizing: createResizing(parts),
    snapshots: createSnapshots(parts),
    scanner: createScanner(parts),
  };
}

/** Ms that a takeover waits beyond a lost lease. */
export const marginMs = 500;

/** Two datastores in memory, a store, and services on them. */
export class ServiceWorld {
  readonly clock = new ManualClock();
  store: MemoryStore = createMemoryStore({ clock: this.clock });
  readonly ds = memoryBackend();
  readonly other = memoryBackend();
  readonly backends = new Map([
    ['ds', this.ds.backend],
    ['other', this.other.backend],
  ]);
  readonly ann = { node: 'node-a', host: 'ann' };
  readonly bob = { node: 'node-b', host: 'bob' };

  /** A service of its own on the same store and datastores. */
  service(overrides: Partial<ServiceParts> = {}) {
    const store = overrides.store ?? this.store.client();
    return serviceOf({
      store,
      gate: this.gate(store),
      backends: this.backends,
      cluster: async () => 'ours',
      takeoverMarginMs: marginMs,
      clock: this.clock,
      log: silentLog,
      ...overrides,
    });
  }

  /** Without rules everything is allowed. */
  gate(store: Store = this.store.client()) {
    const { clock } = this;
    return createRulesGate({ store, clock, hostDatastore: 'ds', creatorOf: async () => undefined });
  }

  id(name: string, datastore = 'ds'): VolumeId {
    return { datastore, name };
  }

  /** Attaches for a node that makes the file system, writes, and detaches. */
  async use(id: VolumeId, content: string): Promise<void> {
    const { attachments } = this.service();
    const lease = await this.store.client().grantLease(5_000);
    const request = { lease: lease.id, waitMs: 0 };
    const { epoch, location } = await attachments.attach(this.ann, id, request, new AbortController().signal);
    await attachments.formatted(this.ann, id, epoch);
    (id.datastore === 'ds' ? this.ds : this.other).write(location.file, content);
    await attachments.detach(this.ann, id, epoch, true);
    await lease.revoke();
  }

  /** As after the loss of all managers: the datastores are still there. */
  async loseStore(): Promise<void> {
    await this.store.close();
    this.store = createMemoryStore({ clock: this.clock });
  }
}

/** Two services on the same store, a volume's name, and the leases of two hosts that want the volume. */
export async function twoServices() {
  const world = new ServiceWorld();
  const { store, ann } = world;
  const id = world.id('v');
  const services = [world.service(), world.service()];
  const annLease = await store.client().grantLease(5_000);
  const bobLease = await store.client().grantLease(5_000);
  const service = (index = 0) => {
    const found = services[index];
    if (!found) throw new Error('no such service');
    return found;
  };
  return {
    ...{ world, id, annLease, bobLease, service },
    create: (options: Record<string, string> = {}) => service().volumes.create(ann, id, options),
    attach: (who: typeof ann, lease: Lease, waitMs = 0, index = 0) =>
      service(index).attachments.attach(who, id, { lease: lease.id, waitMs }, new AbortController().signal),
    async end(): Promise<void> {
      annLease.release();
      bobLease.release();
      await store.close();
    },
  };
}
export type TwoServices = Awaited<ReturnType<typeof twoServices>>;
