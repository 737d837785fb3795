import type { Clock } from '../../lib/clock.ts';
import { type ServerStart, type Serving, sameStart } from './decide-target.ts';
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
  silence: Pick<Silence, 'lastAnswerBefore' | 'lastAnswered'>;
  clock: Clock;
  resumed: (volume: string, server: ServerStart, stallMs: number) => void;
}): Stalls {
  const { silence, clock, resumed } = parts;
  /** Since when each volume has had no server, monotonic ms, and which it had. */
  const lost = new Map<string, { readonly at: number; readonly before: ServerStart | undefined }>();

  return {
    moving(volume, { serving, silent }) {
      if (lost.has(volume)) return;
      // One whose record was taken back served until now, any other until its last answer.
      const isGone = !silent && serving.known && !serving.server;
      const server = serving.known && !silent ? serving.server : undefined;
      const at = isGone ? clock.monotonic() : silence.lastAnswerBefore(volume, server);
      if (at !== undefined) lost.set(volume, { at, before: silence.lastAnswered(volume) });
    },
    aimed(volume, server) {
      const gone = lost.get(volume);
      lost.delete(volume);
      // Back to the very start that it had before: this node was cut off, which is no failover. The new one may have answered
      // this node already.
      if (!gone?.before || sameStart(gone.before, server)) return;
      resumed(volume, server, Math.round(clock.monotonic() - gone.at));
    },
  };
}
