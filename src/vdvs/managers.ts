import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { LocalNode } from '../swarm/swarm.ts';

/** Where the managers are. */
export interface Managers {
  /** Addresses without port, this node's own first. @throws VolumeError `unavailable` when none was ever known. */
  addresses(): Promise<readonly string[]>;
  /** None of them could be reached: ask the engine again soon. */
  suspect(): void;
}

/**
 * ms that an answer of the engine is good for. It is dear (the engine starts programs to answer) and managers change seldom:
 * when none of the known ones can be reached it is asked sooner.
 */
const fresh = { calmMs: 120_000, suspectMs: 5_000 } as const;

/** The managers as the local engine tells, the last known ones while it does not. */
export function createManagers(parts: {
  local: () => Promise<LocalNode>;
  /** From the settings: then nobody is asked. */
  fixed: readonly string[] | undefined;
  /** What an earlier start knew: the engine asks its plugins for volumes before it answers anybody. */
  remembered?: readonly string[];
  onChange: (addresses: readonly string[]) => void;
  clock: Clock;
}): Managers {
  const state = {
    known: parts.fixed ?? parts.remembered ?? [],
    askedAt: Number.NEGATIVE_INFINITY,
    freshMs: fresh.calmMs as number,
    why: 'the engine has not answered',
  };
  let asking: Promise<void> | undefined;

  const ask = async () => {
    const { address, managers } = await parts.local();
    const all = managers
      .map((manager) => manager.address)
      .sort((a, b) => Number(b === address) - Number(a === address));
    if (all.length === 0) throw new VolumeError('unavailable', 'the engine is not in a Swarm, or not yet');
    state.askedAt = parts.clock.monotonic();
    state.freshMs = fresh.calmMs;
    if (all.join() === state.known.join()) return;
    state.known = all;
    parts.onChange(all);
  };

  const refresh = () => {
    asking ??= ask()
      .catch((thrown) => {
        state.why = toVolumeError(thrown).message;
      })
      .finally(() => {
        asking = undefined;
      });
    return asking;
  };

  return {
    suspect() {
      state.freshMs = fresh.suspectMs;
    },
    async addresses() {
      const stale = parts.fixed === undefined && parts.clock.monotonic() - state.askedAt >= state.freshMs;
      // What is known serves at once; only who knows nothing has to wait for the engine.
      if (stale && state.known.length > 0) void refresh();
      else if (stale) await refresh();
      if (state.known.length > 0) return state.known;
      throw new VolumeError('unavailable', `the Swarm's managers are not known: ${state.why}`);
    },
  };
}
