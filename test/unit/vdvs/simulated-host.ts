import type { MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Lease } from '../../../src/etcd/store.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { Grant } from '../../../src/vdvs/api.ts';
import { renderVolumeName } from '../../../src/vdvs/names.ts';
import type { VolumeId } from '../../../src/vdvs/types.ts';
import type { ServiceWorld } from './service-fixture.ts';

/** Ms, as in the plugin's settings. */
export const hostTimes = { leaseMs: 5_000, fenceMarginMs: 1_000, attachMs: 2_000 } as const;

/**
 * A host as far as ownership goes: what a plugin with its guard does, without disks. It writes to a volume from when it
 * was granted until it detaches, or until its guard says stop.
 */
export class SimulatedHost {
  readonly name: string;
  readonly #world: ServiceWorld;
  readonly #store: MemoryStore;
  readonly #service: () => ReturnType<ServiceWorld['service']>;
  #lease: Lease | undefined;
  #contact = true;
  #frozen = false;
  readonly #mounted = new Map<string, { id: VolumeId; epoch: number; writing: boolean }>();

  constructor(name: string, world: ServiceWorld, service: () => ReturnType<ServiceWorld['service']>) {
    this.name = name;
    this.#world = world;
    this.#store = world.store.client();
    this.#service = service;
  }

  /** Volumes that it writes to at this moment, with the epochs that it was granted. */
  writes(): { volume: string; epoch: number }[] {
    if (this.#frozen) return [];
    return [...this.#mounted].flatMap(([volume, { writing, epoch }]) => (writing ? [{ volume, epoch }] : []));
  }

  /** What the guard does all the time, except while the host stands still. */
  guard(): void {
    if (this.#frozen || !this.#lease) return;
    if (this.#world.clock.monotonic() < this.#lease.safeUntil() - hostTimes.fenceMarginMs) return;
    this.#fence();
  }

  #fence(): void {
    const lease = this.#lease;
    this.#lease = undefined;
    this.#mounted.clear();
    if (this.#contact) void lease?.revoke().catch(() => lease.release());
    else lease?.release();
  }

  /** A call of the service: nothing gets through without contact, in neither direction. */
  async #call<T>(act: (service: ReturnType<ServiceWorld['service']>) => Promise<T>): Promise<T> {
    const cut = () => new VolumeError('unavailable', `${this.name} has no contact`);
    if (!this.#contact || this.#frozen) throw cut();
    const result = await act(this.#service());
    if (!this.#contact || this.#frozen) throw cut();
    return result;
  }

  async open(id: VolumeId): Promise<void> {
    const key = renderVolumeName(id);
    if (this.#frozen || this.#mounted.has(key)) return;
    this.#lease ??= await this.#store.grantLease(hostTimes.leaseMs);
    const lease = this.#lease;
    const caller = { node: this.name, host: this.name };
    const request = { lease: lease.id, waitMs: hostTimes.attachMs };
    const { signal } = new AbortController();
    const grant: Grant = await this.#call(async ({ attachments }) => {
      const state = await attachments.look(id);
      const free = await attachments.attachFree(caller, id, request, state);
      return free ?? (await attachments.attach(caller, id, request, signal, state));
    });
    this.guard();
    // The lease that it hangs on is not this host's any more: nothing is mounted under it.
    if (this.#lease !== lease || this.#mounted.has(key)) return;
    this.#mounted.set(key, { id, epoch: grant.epoch, writing: true });
    await this.#call((service) => service.attachments.formatted(caller, id, grant.epoch));
  }

  async close(id: VolumeId): Promise<void> {
    const mount = this.#mounted.get(renderVolumeName(id));
    if (this.#frozen || !mount) return;
    mount.writing = false;
    this.#mounted.delete(renderVolumeName(id));
    await this.#call((service) =>
      service.attachments.detach({ node: this.name, host: this.name }, id, mount.epoch, true),
    );
  }

  /** Gives back what the service says this host has and it does not use. */
  async reconcile(): Promise<void> {
    const views = await this.#call((service) => service.volumes.list());
    for (const { record, attached } of views) {
      if (attached?.node !== this.name || this.#mounted.has(renderVolumeName(record))) continue;
      await this.#call((service) =>
        service.attachments.detach(
          { node: this.name, host: this.name },
          { datastore: record.datastore, name: record.name },
          attached.epoch,
          false,
        ),
      );
    }
  }

  cut(): void {
    this.#contact = false;
    this.#store.goOffline();
  }

  /** Stands still with all that it has mounted; its lease is not renewed. */
  freeze(): void {
    this.#frozen = true;
    this.#store.goOffline();
  }

  /** Contact and life again; the guard looks at the clock first. */
  heal(): void {
    this.#frozen = false;
    this.guard();
    this.#contact = true;
    this.#store.goOnline();
  }

  /** Loses power, and starts again knowing nothing. */
  crash(): void {
    this.#mounted.clear();
    this.#lease?.release();
    this.#lease = undefined;
  }
}
