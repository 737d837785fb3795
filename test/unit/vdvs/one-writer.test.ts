import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { DatastoreBackend } from '../../../src/vdvs/backends/backend.ts';
import { renderVolumeName } from '../../../src/vdvs/names.ts';
import { ServiceWorld } from './service-fixture.ts';
import { SimulatedHost } from './simulated-host.ts';

const kinds = [
  ...[
    'open',
    'open',
    'open',
    'close',
    'close',
    'reconcile',
    'clone',
    'clone',
    'snapshot',
    'resize',
    'remove',
  ],
  ...['cut', 'freeze', 'crash', 'heal', 'heal', 'service', 'room'],
] as const;
interface Step {
  readonly kind: string;
  readonly host: number;
  readonly volume: number;
  /** Ms until the next step. */
  readonly ms: number;
}
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...kinds),
  host: fc.nat(2),
  volume: fc.nat(1),
  ms: fc.oneof(fc.nat(50), fc.nat(3_000)),
});

/** Three hosts, two volumes, two services, and what must never be. */
class Simulation {
  readonly #world = new ServiceWorld();
  readonly #stores = [this.#world.store.client(), this.#world.store.client()];
  readonly #services: ReturnType<ServiceWorld['service']>[];
  readonly #hosts: SimulatedHost[];
  readonly #newest = new Map<string, { epoch: number; host: string }>();
  readonly #running = new Set<Promise<unknown>>();
  readonly failures: unknown[] = [];
  #turn = 0;
  #copies = 0;

  constructor() {
    // A copy takes time, and is torn when somebody writes meanwhile.
    const backend: DatastoreBackend = {
      ...this.#world.ds.backend,
      copy: async (disk, from) => {
        const before = this.#world.ds.disks.get(from.path)?.content;
        await this.#world.clock.sleep(1_500);
        await this.#world.ds.backend.copy(disk, from);
        const after = this.#world.ds.disks.get(from.path)?.content;
        if (this.#world.ds.disks.get(disk.disk)?.uuid === disk.uuid) {
          this.#world.ds.write(disk.disk, before === after ? 'whole' : 'torn');
        }
      },
      leaveBehind: async (disk, epoch) => {
        const place = await this.#world.ds.backend.leaveBehind?.(disk, epoch);
        await this.#world.clock.sleep(300);
        return place;
      },
    };
    const backends = new Map([['ds', backend]]);
    this.#services = this.#stores.map((store) => this.#world.service({ store, backends }));
    const anyService = () => {
      this.#turn += 1;
      return this.#service(this.#turn);
    };
    this.#hosts = ['a', 'b', 'c'].map((name) => new SimulatedHost(name, this.#world, anyService));
  }

  #service(index: number): ReturnType<ServiceWorld['service']> {
    const service = this.#services[index % 2];
    if (!service) throw new Error('no service');
    return service;
  }

  async begin(): Promise<void> {
    this.#world.ds.places.next = true;
    for (const name of ['v0', 'v1']) {
      await this.#service(0).volumes.create(this.#world.ann, this.#world.id(name), {});
      // There is a file system from the start, or there would be nothing to copy.
      await this.#world.use(this.#world.id(name), '');
    }
  }

  #act(work: Promise<unknown>): void {
    const one: Promise<unknown> = work
      .catch((thrown) => {
        // Refusals are part of the game; anything else is a defect.
        if (!(thrown instanceof VolumeError) || thrown.code === 'internal') this.failures.push(thrown);
      })
      .finally(() => this.#running.delete(one));
    this.#running.add(one);
  }

  #do({ kind, host: index, volume }: Step): void {
    const host = this.#hosts[index];
    const id = this.#world.id(`v${volume}`);
    if (!host) return;
    const { volumes, snapshots, resizing } = this.#service(index);
    const caller = this.#world.ann;
    const act: Readonly<Record<string, () => void>> = {
      open: () => this.#act(host.open(id)),
      close: () => this.#act(host.close(id)),
      reconcile: () => this.#act(host.reconcile()),
      clone: () => {
        this.#copies += 1;
        const options = { 'clone-from': id.name };
        this.#act(volumes.create(caller, this.#world.id(`copy${this.#copies}`), options));
      },
      snapshot: () => this.#act(snapshots.create(caller, id)),
      resize: () => this.#act(resizing.resize(caller, id, `${200 + this.#turn}mb`)),
      remove: () => {
        this.#act(volumes.remove(id).then(() => volumes.create(caller, id, {})));
        // The next life of the name has epochs of its own.
        this.#newest.delete(renderVolumeName(id));
      },
      // Whether lost holders can be left behind from now on.
      room: () => {
        this.#world.ds.places.next = volume === 0;
      },
      cut: () => host.cut(),
      freeze: () => host.freeze(),
      crash: () => host.crash(),
      heal: () => host.heal(),
      service: () => {
        const store = this.#stores[index % 2];
        if (volume === 0) store?.goOffline();
        else store?.goOnline();
      },
    };
    act[kind]?.();
  }

  /** Lets time pass, in slices as short as the guard's. */
  async #pass(ms: number): Promise<void> {
    for (let left = ms; left >= 0; left -= 100) {
      await this.#world.clock.advance(Math.min(left, 100));
      for (const host of this.#hosts) host.guard();
      this.#check();
    }
  }

  #check(): void {
    const writers = new Map<string, string>();
    for (const host of this.#hosts) {
      for (const { volume, epoch } of host.writes()) {
        const other = writers.get(volume);
        if (other) throw new Error(`${volume} is written by ${other} and by ${host.name}`);
        writers.set(volume, host.name);
        const newest = this.#newest.get(volume);
        if (newest && (epoch < newest.epoch || (epoch === newest.epoch && host.name !== newest.host))) {
          throw new Error(
            `${volume}: ${host.name} writes with epoch ${epoch} after ${newest.host} with ${newest.epoch}`,
          );
        }
        this.#newest.set(volume, { epoch, host: host.name });
        const disk = [...this.#world.ds.disks.values()].find((one) => `${one.id.name}@ds` === volume);
        if (disk) this.#world.ds.write(disk.disk, `${host.name} at ${this.#world.clock.monotonic()}`);
      }
    }
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const one of steps) {
      this.#do(one);
      await this.#pass(one.ms);
    }
  }

  /** When all is well again, everything can be had, and no copy that is said to be ready is torn. */
  async end(): Promise<void> {
    for (const store of this.#stores) store.goOnline();
    for (const host of this.#hosts) host.heal();
    await this.#pass(30_000);
    for (const host of this.#hosts) {
      for (const name of ['v0', 'v1']) this.#act(host.close(this.#world.id(name)));
      this.#act(host.reconcile());
    }
    await this.#pass(30_000);
    expect(this.#running.size).toBe(0);
    expect(this.failures).toEqual([]);
    for (const { record, attached } of await this.#service(0).volumes.list()) {
      expect(attached).toBeUndefined();
      // Whoever lost a takeover has not deleted what the winner made.
      if (record.extent !== undefined) expect(this.#world.ds.places.made).toContain(record.extent);
      if (!record.copyOf || !record.inherits) continue;
      expect(this.#world.ds.disks.get(record.disk)?.content).toBe('whole');
    }
    for (const record of await this.#service(0).snapshots.list()) {
      if (record.inherits) expect(this.#world.ds.disks.get(record.disk)?.content).toBe('whole');
    }
  }
}

describe('three hosts that do anything at any time', () => {
  it('never write to one volume at once, never make a torn copy, and never lose what a takeover made', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const simulation = new Simulation();
        await simulation.begin();
        await simulation.run(steps);
        await simulation.end();
      }),
      { numRuns: 80 },
    );
  }, 60_000);
});
