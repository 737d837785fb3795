import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import type { ServiceClient } from '../service-client.ts';

/** Where volumes are that are named without a datastore: the node's vmgroup decides, which the service knows. */
export interface DefaultDatastore {
  /**
   * What the service said last, at most some seconds old while it answers.
   * @throws VolumeError `unavailable` when it never said anything: a guess would look for volumes, or make them, in the wrong place.
   */
  current(): Promise<string>;
}

/** ms that an answer is good for, and that a newer one is waited for while an older one is there. */
const times = { freshMs: 10_000, patienceMs: 1_000 } as const;

/** Asks the service. @param configured the datastore before there were vmgroups, for services of that time. */
export function createDefaultDatastore(parts: {
  readonly client: Pick<ServiceClient, 'self'>;
  readonly configured: string;
  readonly clock: Clock;
}): DefaultDatastore {
  const { client, configured, clock } = parts;
  const state: { known: string | undefined; askedAt: number } = {
    known: undefined,
    askedAt: Number.NEGATIVE_INFINITY,
  };
  let asking: Promise<string> | undefined;

  const ask = async (): Promise<string> => {
    try {
      state.known = (await client.self()).defaultDatastore;
    } catch (thrown) {
      const older = thrown instanceof VolumeError && thrown.code === 'invalid';
      if (!older) throw thrown;
      state.known = configured;
    }
    return state.known;
  };

  return {
    async current() {
      const { known } = state;
      if (known !== undefined && clock.monotonic() - state.askedAt < times.freshMs) return known;
      state.askedAt = clock.monotonic();
      asking ??= ask().finally(() => {
        asking = undefined;
      });
      if (known === undefined) return await asking;
      // A service that is silent, or refuses this node, says so to what follows.
      const newer = asking.catch(() => known);
      return await Promise.race([newer, clock.sleep(times.patienceMs).then(() => known)]);
    },
  };
}
