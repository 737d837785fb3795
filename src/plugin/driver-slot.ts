import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import type { VolumeDriver } from './volume-driver.ts';

/**
 * The place where the driver will be. The socket must accept within seconds of the start, long before the driver knows
 * the cluster; calls that come early wait here.
 */
export interface DriverSlot {
  /** From now on calls get through. Called once. */
  attach(driver: VolumeDriver): void;
  /** What the start is waiting for now; for users whose call cannot wait any longer. */
  setWaitingFor(reason: string): void;
  /** @throws VolumeError `unavailable` after `timeoutMs`, saying what the start is waiting for. */
  driver(timeoutMs: number): Promise<VolumeDriver>;
}

/** An empty slot. */
export function createDriverSlot({ clock }: { clock: Clock }): DriverSlot {
  let attached: VolumeDriver | undefined;
  let waitingFor = 'its start';
  let arrive: (driver: VolumeDriver) => void = () => undefined;
  const arrival = new Promise<VolumeDriver>((resolve) => {
    arrive = resolve;
  });
  return {
    attach(driver) {
      attached = driver;
      arrive(driver);
    },
    setWaitingFor(reason) {
      waitingFor = reason;
    },
    async driver(timeoutMs) {
      if (attached) return attached;
      const arrived = new AbortController();
      try {
        return await Promise.race([
          arrival,
          clock.sleep(timeoutMs, arrived.signal).then(() => {
            throw new VolumeError('unavailable', `the plugin is not ready yet: waiting for ${waitingFor}`);
          }),
        ]);
      } finally {
        arrived.abort();
      }
    },
  };
}
