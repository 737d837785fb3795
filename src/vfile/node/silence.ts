import type { Clock } from '../../lib/clock.ts';
import type { NfsNull } from '../../lib/nfs-null.ts';
import { type ServerStart, type Serving, sameStart, serverOf } from './decide-target.ts';

/** Times in ms. */
export interface SilenceTimes {
  /** Between an answer and the next question. */
  readonly everyMs: number;
  /** One question. */
  readonly answerMs: number;
  /** After a question that failed. */
  readonly againMs: number;
}

export const silenceTimes: SilenceTimes = Object.freeze({ everyMs: 750, answerMs: 1_250, againMs: 250 });

/** So many questions in a row without an answer make a silent server. */
const questions = 2;

/**
 * Which servers do not answer this node. The kernel gives a connection up after the lease period of NFS (7 s
 * by default) and then holds the transport's lock most of the time, for it connects again and again to a host that is not
 * there: by then the transport must be parked, and etcd, which may be busy with an election itself, may not yet know.
 */
export interface Silence {
  /** Asks the volume's server from now on; nothing when it does already. */
  follow(volume: string, port: number): void;
  unfollow(volume: string): void;
  /** Whether this very start of a server does not answer. */
  of(volume: string, server: ServerStart): boolean;
  /** Monotonic ms of the last answer of any start but this; `undefined` when there was none, or this one has answered. */
  lastAnswerBefore(volume: string, server: ServerStart | undefined): number | undefined;
  /** The start that has answered last. */
  lastAnswered(volume: string): ServerStart | undefined;
  stop(): void;
}

interface Followed {
  readonly port: number;
  readonly over: AbortController;
  asked: ServerStart | undefined;
  failures: number;
  answered: { readonly server: ServerStart; readonly at: number } | undefined;
}

/** Asks by NFS NULL calls. */
export function createSilence(parts: {
  nfsNull: NfsNull;
  serving: (volume: string) => Serving;
  /** A server fell silent, or answers again. */
  changed: (volume: string) => void;
  clock: Clock;
  times?: SilenceTimes;
}): Silence {
  const { nfsNull, serving, changed, clock, times = silenceTimes } = parts;
  const followed = new Map<string, Followed>();

  /** @returns ms until the next question. */
  const ask = async (volume: string, entry: Followed): Promise<number> => {
    const server = serverOf(serving(volume));
    if (!sameStart(entry.asked, server)) Object.assign(entry, { asked: server, failures: 0 });
    if (!server) return times.everyMs;
    const at = clock.monotonic();
    const answered = await nfsNull(server.address, entry.port, times.answerMs).then(
      () => true,
      () => false,
    );
    const before = entry.failures >= questions;
    entry.failures = answered ? 0 : entry.failures + 1;
    if (answered) entry.answered = { server, at };
    if (entry.failures >= questions !== before) changed(volume);
    return answered ? times.everyMs : times.againMs;
  };

  const follow = async (volume: string, entry: Followed): Promise<void> => {
    const { signal } = entry.over;
    while (!signal.aborted) await clock.sleep(await ask(volume, entry), signal).catch(() => undefined);
  };

  const unfollow = (volume: string): void => {
    followed.get(volume)?.over.abort();
    followed.delete(volume);
  };

  return {
    follow(volume, port) {
      if (followed.get(volume)?.port === port) return;
      unfollow(volume);
      const over = new AbortController();
      const entry: Followed = { port, over, asked: undefined, failures: 0, answered: undefined };
      followed.set(volume, entry);
      void follow(volume, entry);
    },
    unfollow,
    of(volume, server) {
      const entry = followed.get(volume);
      return entry !== undefined && entry.failures >= questions && sameStart(entry.asked, server);
    },
    lastAnswerBefore(volume, server) {
      const answered = followed.get(volume)?.answered;
      return answered && !sameStart(answered.server, server) ? answered.at : undefined;
    },
    lastAnswered: (volume) => followed.get(volume)?.answered?.server,
    stop() {
      for (const volume of [...followed.keys()]) unfollow(volume);
    },
  };
}
