import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import { createDriverSlot } from '../../plugin/driver-slot.ts';
import { readinessDeadlines } from '../../plugin/protocol.ts';
import type { DriverVolume, VolumeDriver } from '../../plugin/volume-driver.ts';

/** A driver that answers before the real one is there. */
export interface KnownDriver {
  readonly driver: VolumeDriver;
  /** From now on the real driver answers. */
  attach(real: VolumeDriver): void;
  /** What the start is waiting for now, for users. */
  setWaitingFor(reason: string): void;
}

/**
 * Answers Get, List and Path from what an earlier plugin knew, for the time until etcd has answered for the first time.
 * The engine asks for the volumes of all its containers when it starts, before the Swarm and so before etcd can be there,
 * and it forgets what it is told nothing about. Everything else waits for the real driver.
 */
export function createKnownDriver(parts: {
  clock: Clock;
  /** Every volume that was known, with the time of its creation (RFC 3339). */
  known: () => Readonly<Record<string, string>>;
  path: (volume: string) => string;
}): KnownDriver {
  const { clock, known, path } = parts;
  const slot = createDriverSlot({ clock });
  let real: VolumeDriver | undefined;
  let waitingFor = 'its start';

  const remembered = (name: string): DriverVolume | undefined => {
    const createdAt = Object.hasOwn(known(), name) ? known()[name] : undefined;
    return createdAt === undefined ? undefined : { name, mountpoint: path(name), createdAt };
  };

  return {
    attach(driver) {
      real = driver;
      slot.attach(driver);
    },
    setWaitingFor(reason) {
      waitingFor = reason;
      slot.setWaitingFor(reason);
    },
    driver: {
      create: async (name, options) =>
        await (await slot.driver(readinessDeadlines.Create)).create(name, options),
      remove: async (name) => await (await slot.driver(readinessDeadlines.Remove)).remove(name),
      mount: async (name, id) => await (await slot.driver(readinessDeadlines.Mount)).mount(name, id),
      unmount: async (name, id) => await (await slot.driver(readinessDeadlines.Unmount)).unmount(name, id),
      path: async (name) => (real ? await real.path(name) : path(name)),
      async get(name) {
        const volume = real ? undefined : remembered(name);
        if (!volume) return await (await slot.driver(readinessDeadlines.Get)).get(name);
        const reason = `the plugin has only just started and waits for ${waitingFor}`;
        return { ...volume, status: { 'Volume Status': 'Unknown', Reason: reason } };
      },
      async list() {
        if (real) return await real.list();
        const volumes = Object.keys(known()).flatMap((name) => remembered(name) ?? []);
        if (volumes.length > 0) return volumes;
        throw new VolumeError('unavailable', `volumes are not known yet: waiting for ${waitingFor}`);
      },
    },
  };
}
