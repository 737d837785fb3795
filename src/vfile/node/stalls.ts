import type { Clock } from '../../lib/clock.ts';
import type { ServerStart, Serving } from './decide-target.ts';
import type { Silence } from './silence.ts';

/** For how long this node is without a server in each failover of its volumes. */
export interface Stalls {
  /** A transport is about to be moved, because of this. */
  moving(volume: string, why: { readonly serving: Serving; readonly silent: boolean }): void;
  /** A transport points at this start of the server now. */
  aimed(volume: string, server: ServerStart): void;
}

/** @param resumed called when a node goes on with a new start of a server, with the ms for which it had none. */
export function createStalls(parts: {
  silence: Pick<Silence, 'lastAnswerBefore'>;
  clock: Clock;
  resumed: (volume: string, server: ServerStart, stallMs: number) => void;
}): Stalls {
  const { silence, clock, resumed } = parts;
  /** Since when each volume has had no server, monotonic ms. */
  const lost = new Map<string, number>();

  return {
    moving(volume, { serving, silent }) {
      if (lost.has(volume)) return;
      // One whose record was taken back served until now, any other until its last answer.
      const isGone = !silent && serving.known && !serving.server;
      const server = serving.known && !silent ? serving.server : undefined;
      const at = isGone ? clock.monotonic() : silence.lastAnswerBefore(volume, server);
      if (at !== undefined) lost.set(volume, at);
    },
    aimed(volume, server) {
      const at = lost.get(volume);
      lost.delete(volume);
      // Back to the very start that it had before: this node was cut off, which is no failover.
      const isNew = silence.lastAnswerBefore(volume, server) !== undefined;
      if (isNew && at !== undefined) resumed(volume, server, Math.round(clock.monotonic() - at));
    },
  };
}
