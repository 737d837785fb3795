import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { NfsNull } from '../../lib/nfs-null.ts';
import {
  decideTarget,
  type ServerStart,
  type Serving,
  sameStart,
  serverOf,
  type TargetStep,
} from './decide-target.ts';
import { type Parking, parkingAddress } from './parking.ts';
import { createSilence } from './silence.ts';
import { createStalls } from './stalls.ts';
import type { Transport, Transports } from './transports.ts';

/** Pauses of the loop, ms. */
export interface RetargetTimes {
  /** How often transports are looked for; a change of the server does not wait for it. */
  readonly scanEveryMs: number;
  /** One write: longer than a connect that the kernel may be waiting for (the server's lease period, 8 s). */
  readonly writeTimeoutMs: number;
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** A volume without any transport for this long is a problem to show. */
  readonly missingAfterMs: number;
}

export const retargetTimes: RetargetTimes = Object.freeze({
  scanEveryMs: 2_000,
  writeTimeoutMs: 12_000,
  firstRetryMs: 100,
  lastRetryMs: 3_000,
  missingAfterMs: 10_000,
});

/** Keeps the kernel's transports pointed at whoever serves each volume, or parked while nobody does. */
export interface Retargeter {
  /**
   * Looks after a volume from now on. `transports` are those that an earlier process knew: one that is not connected does
   * not tell its port, so it cannot be found.
   * @returns how many transports are known after a first look. Never rejects.
   */
  track(volume: string, port: number, transports?: readonly string[]): Promise<number>;
  /** Whether it is looked after as mounted. */
  tracks(volume: string): boolean;
  /**
   * The volume is unmounted. Its transports are looked after until the kernel has let go of them: one that a lazily
   * detached mount leaves parked would otherwise be found by the next mount of the volume, which would wait on it.
   */
  untrack(volume: string): void;
  /** Something changed: decide again, at once. Without a name: all volumes. */
  look(volume?: string): void;
  /** Why a volume's transports are not where they should be, for users; `undefined` when all is well. */
  problem(volume: string): string | undefined;
  /** The same for all volumes of this node, each with its name. */
  problems(): string[];
  /** Stops, calling off writes under way; transports stay where they are. */
  stop(): Promise<void>;
}

interface Tracked {
  readonly volume: string;
  readonly port: number;
  /** By transport ID: the server start it was aimed at, `undefined` when this process has not done so. */
  readonly transports: Map<string, ServerStart | undefined>;
  readonly since: number;
  /** Unmounted; stays until its transports are gone. */
  leaving: boolean;
  due: boolean;
  worker: Promise<void> | undefined;
  /** Calls off the write or the pause that the worker is in. */
  interrupt: AbortController;
  /** What the pass under way wants, to tell whether a change makes it pointless. */
  wanted: string;
  problem: string | undefined;
}

interface RetargeterParts {
  transports: Transports;
  parking: Parking;
  serving: (volume: string) => Serving;
  nfsNull: NfsNull;
  clock: Clock;
  log: Log;
  /** Called when a volume's transports changed, to be remembered for the next process; without any: forget the volume. */
  remember: (volume: string, port: number, transports?: string[]) => void;
  /** See `createStalls`. */
  resumed?: (volume: string, server: ServerStart, stallMs: number) => void;
  times?: RetargetTimes;
}

type Outcome = 'settled' | 'moved' | 'failed';

/**
 * A level-triggered loop: events and the timer only say "look again"; each look reads the transports and asks
 * `decideTarget`. One worker per volume, so a transport whose lock the kernel holds delays no other volume.
 */
export function createRetargeter(parts: RetargeterParts): Retargeter {
  const { transports, parking, serving, nfsNull, clock, log, remember, times = retargetTimes } = parts;
  const tracked = new Map<string, Tracked>();
  const stopped = new AbortController();
  const silence = createSilence({ nfsNull, serving, clock, changed: (volume) => look(volume) });
  const stalls = createStalls({ silence, clock, resumed: parts.resumed ?? (() => undefined) });

  /** Who serves, and whether that one is silent. */
  const known = (volume: string): { serving: Serving; silent: boolean } => {
    const now = serving(volume);
    const server = serverOf(now);
    return { serving: now, silent: server !== undefined && silence.of(volume, server) };
  };

  /**
   * What decides where a volume's transports should be, as text. That a server which was to start serves by now changes nothing in
   * that: a write called off for it may have been done all the same, and would be done again by way of the parking place.
   */
  const wish = (volume: string): string => {
    const { serving: now, silent } = known(volume);
    return JSON.stringify([now.known, serverOf(now), silent]);
  };

  const decide = (entry: Tracked, transport: Transport): TargetStep =>
    decideTarget({
      ...known(entry.volume),
      transport,
      aimedAt: entry.transports.get(transport.id),
      parkingOpen: parking.isOpen(entry.port),
    });

  const openParking = async (entry: Tracked): Promise<void> => {
    if (parking.isOpen(entry.port)) return;
    try {
      await parking.open(entry.port);
      // Unmounted meanwhile: nobody else would close it.
      if (tracked.get(entry.volume) !== entry) await parking.close(entry.port);
    } catch (thrown) {
      entry.problem = toVolumeError(thrown).message;
    }
  };

  const drop = (entry: Tracked): void => {
    tracked.delete(entry.volume);
    silence.unfollow(entry.volume);
    entry.interrupt.abort();
    remember(entry.volume, entry.port);
    if (![...tracked.values()].some((other) => other.port === entry.port)) void parking.close(entry.port);
  };

  const forget = (entry: Tracked, id: string): void => {
    entry.transports.delete(id);
    remember(entry.volume, entry.port, [...entry.transports.keys()]);
  };

  /** Whether a transport points at a server that serves, after it did not. */
  const resume = (entry: Tracked, id: string): void => {
    const { serving: now, silent } = known(entry.volume);
    const server = serverOf(now);
    if (!server || silent || (now.known && now.starting)) return;
    if (sameStart(entry.transports.get(id), server)) stalls.aimed(entry.volume, server);
  };

  const move = async (entry: Tracked, id: string, signal: AbortSignal): Promise<Outcome> => {
    const transport = await transports.read(id);
    if (!transport) {
      forget(entry, id);
      return 'settled';
    }
    const step = decide(entry, transport);
    if (step.do === 'leave') {
      resume(entry, id);
      return 'settled';
    }
    if (step.do === 'adopt') {
      entry.transports.set(id, step.server);
      return 'settled';
    }
    const address = step.do === 'park' ? parkingAddress : step.server.address;
    const started = clock.monotonic();
    stalls.moving(entry.volume, known(entry.volume));
    await transports.aim(id, address, { timeoutMs: times.writeTimeoutMs, signal });
    entry.transports.set(id, step.do === 'aim' ? step.server : undefined);
    resume(entry, id);
    log.info(step.do === 'park' ? `parked: ${step.reason}` : `re-targeted to ${address}`, {
      volume: entry.volume,
      transport: id,
      from: transport.address,
      ms: Math.round(clock.monotonic() - started),
      ...(step.do === 'aim' ? { epoch: step.server.epoch, instance: step.server.instance } : {}),
    });
    return 'moved';
  };

  const pass = async (entry: Tracked): Promise<Outcome> => {
    await openParking(entry);
    const { signal } = entry.interrupt;
    const outcomes = await Promise.all(
      [...entry.transports.keys()].map(async (id): Promise<Outcome> => {
        try {
          return await move(entry, id, signal);
        } catch (thrown) {
          if (signal.aborted) return 'moved';
          const problem = `transport ${id}: ${toVolumeError(thrown).message}`;
          if (problem !== entry.problem) log.warn('could not move', { volume: entry.volume, error: problem });
          entry.problem = problem;
          return 'failed';
        }
      }),
    );
    if (outcomes.includes('failed')) return 'failed';
    if (parking.isOpen(entry.port)) entry.problem = undefined;
    return outcomes.includes('moved') ? 'moved' : 'settled';
  };

  const work = async (entry: Tracked): Promise<void> => {
    for (let failures = 0; entry.due && !stopped.signal.aborted && tracked.get(entry.volume) === entry; ) {
      entry.due = false;
      entry.interrupt = new AbortController();
      entry.wanted = wish(entry.volume);
      const outcome = await pass(entry);
      failures = outcome === 'failed' ? failures + 1 : 0;
      if (outcome !== 'settled') entry.due = true;
      if (outcome === 'failed') {
        const pause = Math.min(times.firstRetryMs * 2 ** (failures - 1), times.lastRetryMs);
        await clock.sleep(pause, entry.interrupt.signal).catch(() => undefined);
      }
    }
  };

  const lookAt = (entry: Tracked): void => {
    entry.due = true;
    if (entry.worker) {
      if (entry.wanted !== wish(entry.volume)) entry.interrupt.abort();
      return;
    }
    entry.worker = work(entry).finally(() => {
      entry.worker = undefined;
      if (entry.due && !stopped.signal.aborted && tracked.get(entry.volume) === entry) lookAt(entry);
    });
  };

  const scan = async (): Promise<void> => {
    const seen = new Map((await transports.scan()).map((transport) => [transport.id, transport]));
    for (const entry of tracked.values()) {
      const before = [...entry.transports.keys()].join();
      for (const id of entry.transports.keys()) {
        const port = seen.get(id)?.port;
        // IDs are used again: one that tells another port is no longer ours.
        if (!seen.has(id) || (port !== undefined && port !== entry.port)) entry.transports.delete(id);
      }
      let due = !parking.isOpen(entry.port);
      for (const transport of seen.values()) {
        if (transport.port === entry.port && !entry.leaving && !entry.transports.has(transport.id)) {
          entry.transports.set(transport.id, undefined);
        }
        if (!entry.transports.has(transport.id)) continue;
        due ||= decide(entry, transport).do !== 'leave';
      }
      const now = [...entry.transports.keys()];
      if (now.join() !== before) remember(entry.volume, entry.port, now);
      if (now.length === 0 && entry.leaving) {
        drop(entry);
        continue;
      }
      if (now.length === 0 && clock.monotonic() - entry.since > times.missingAfterMs) {
        entry.problem = `no transport with port ${entry.port} in sysfs: this node cannot follow a failover of the volume`;
      }
      if (due) lookAt(entry);
    }
  };

  let scanning: Promise<void> | undefined;
  const scanOnce = (): Promise<void> => {
    scanning ??= scan()
      .catch((thrown) => log.warn('looking for transports failed', { error: toVolumeError(thrown).message }))
      .finally(() => {
        scanning = undefined;
      });
    return scanning;
  };

  const timer = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      if (tracked.size > 0) await scanOnce();
      await clock.sleep(times.scanEveryMs, stopped.signal).catch(() => undefined);
    }
  };
  const ticking = timer();

  const untrack = (volume: string): void => {
    const entry = tracked.get(volume);
    if (!entry) return;
    entry.leaving = true;
    if (entry.transports.size === 0) drop(entry);
    else void scanOnce();
  };

  const look = (volume?: string): void => {
    for (const entry of tracked.values()) if (volume === undefined || entry.volume === volume) lookAt(entry);
  };

  return {
    look,
    async track(volume, port, before = []) {
      const other = tracked.get(volume);
      if (other && other.port !== port) drop(other);
      const entry: Tracked = tracked.get(volume) ?? {
        volume,
        port,
        transports: new Map(before.map((id) => [id, undefined])),
        since: clock.monotonic(),
        leaving: false,
        due: false,
        worker: undefined,
        interrupt: new AbortController(),
        wanted: '',
        problem: undefined,
      };
      entry.leaving = false;
      tracked.set(volume, entry);
      silence.follow(volume, port);
      lookAt(entry);
      // A scan under way may have passed already.
      await scanning;
      await scanOnce();
      return entry.transports.size;
    },
    tracks: (volume) => tracked.get(volume)?.leaving === false,
    untrack,
    problem: (volume) => tracked.get(volume)?.problem,
    problems: () =>
      [...tracked.values()].flatMap(({ volume, problem }) =>
        problem ? [`volume ${volume}: ${problem}`] : [],
      ),
    async stop() {
      stopped.abort();
      silence.stop();
      for (const entry of tracked.values()) entry.interrupt.abort();
      await Promise.all([ticking, scanning, ...[...tracked.values()].map((entry) => entry.worker)]);
    },
  };
}
