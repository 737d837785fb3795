import { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { createMirror } from './list-watch-mirror.ts';
import type { Mirror } from './mirror.ts';
import type { Condition, Lease, Store } from './store.ts';

/** The leader's key: who leads and since when. Kept on the leader's lease. */
export const leaderRecordSchema = z.object({ v: z.literal(1), node: z.string(), since: z.string() });
export type LeaderRecord = z.infer<typeof leaderRecordSchema>;

/**
 * A won election. It can be lost at any moment, also while a call is under way: every write must carry `condition`, and
 * whatever etcd does not guard must be harmless when done twice or late.
 */
export interface Leadership {
  /** Revision at which this leader's key came to be. */
  readonly createRevision: number;
  /** For the `when` of every write of the leader: holds only as long as this very leadership does. */
  readonly condition: Condition;
  /** Aborted, with the reason, once leadership is lost; always before the lease can have run out at etcd. */
  readonly lost: AbortSignal;
  /** Whether it is held right now; unlike `lost` also right when the process was frozen until a moment ago. */
  held(): boolean;
  /** Gives it up at once, so that another candidate need not wait for the lease. */
  resign(): Promise<void>;
}

/** One candidate. */
export interface Election {
  /**
   * Resolves when this candidate leads. Keeps trying through loss of contact; rejects only with the signal's reason.
   */
  campaign(signal: AbortSignal): Promise<Leadership>;
}

/** What an election needs. */
export interface ElectionOptions {
  readonly store: Store;
  /** The one key all candidates contend for. */
  readonly key: string;
  /** Name of this candidate in the record. */
  readonly node: string;
  /** ms after which a leader that died is replaced. */
  readonly ttlMs: number;
  /** How long before the lease can run out `lost` is aborted, in ms; default an eighth of the TTL. */
  readonly marginMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

const longTimeMs = 3_600_000;

/** Takes the key if nobody has it. @returns its create revision, `undefined` when somebody else has it. */
async function take(options: ElectionOptions, lease: Lease): Promise<number | undefined> {
  const { store, key, node, clock } = options;
  const value = { v: 1, node, since: new Date(clock.now()).toISOString() };
  try {
    const result = await store.txn([{ key, is: 'absent' }], [{ put: key, value, lease: lease.id }]);
    return result.done ? result.revision : undefined;
  } catch (thrown) {
    if (!toVolumeError(thrown).retry) throw thrown;
    // The outcome may be unknown; the lease is ours alone, so the key on it tells.
    const entry = await store.get(key);
    if (entry?.lease === lease.id) return entry.createRevision;
    throw thrown;
  }
}

function lead(options: ElectionOptions, lease: Lease, createRevision: number, mirror: Mirror): Leadership {
  const { key, clock, log } = options;
  const marginMs = options.marginMs ?? lease.ttlMs / 8;
  const over = new AbortController();
  const left = (): number => lease.safeUntil() - marginMs - clock.monotonic();
  const lose = (why: string): void => {
    if (over.signal.aborted) return;
    log.warn('leadership lost', { key, why });
    over.abort(new VolumeError('conflict', `leadership lost: ${why}`));
  };
  const seen = { ours: mirror.entries.get(key)?.createRevision === createRevision };
  const unfollow = mirror.onChange(() => {
    const entry = mirror.entries.get(key);
    // A copy older than our own key says nothing about it.
    if (entry ? entry.createRevision > createRevision : seen.ours)
      lose('another leader or no leader is recorded');
    if (entry?.createRevision === createRevision) seen.ours = true;
  });
  lease.onLost(() => lose('the lease is gone'));
  over.signal.addEventListener('abort', () => {
    unfollow();
    mirror.stop();
    lease.release();
  });
  const guard = async (): Promise<void> => {
    for (let ms = left(); !over.signal.aborted; ms = left()) {
      if (ms <= 0) lose('the lease could not be renewed in time');
      else await clock.sleep(ms, over.signal);
    }
  };
  // The only rejection is that of a sleep cut short because it is over.
  guard().catch(() => undefined);
  return {
    createRevision,
    condition: { key, createRevision },
    lost: over.signal,
    held: () => !over.signal.aborted && left() > 0,
    resign: async () => {
      over.abort(new VolumeError('conflict', 'resigned'));
      log.info('resigning leadership', { key });
      await lease.revoke();
    },
  };
}

/** One attempt: waits until nobody leads, then tries. @returns `undefined` when another candidate was faster. */
async function attempt(options: ElectionOptions, signal: AbortSignal): Promise<Leadership | undefined> {
  const { store, key, clock, log } = options;
  const mirror = createMirror({ store, prefix: key, clock, log });
  const given: { leadership?: Leadership; lease?: Lease } = {};
  try {
    const describe = (): string => 'another candidate leads';
    await mirror.waitFor(() => (mirror.synced && !mirror.entries.has(key)) || undefined, {
      timeoutMs: longTimeMs,
      describe,
      signal,
    });
    given.lease = await store.grantLease(options.ttlMs);
    const createRevision = await take(options, given.lease);
    if (createRevision === undefined) return undefined;
    given.leadership = lead(options, given.lease, createRevision, mirror);
    if (signal.aborted) {
      await given.leadership.resign();
      signal.throwIfAborted();
    }
    log.info('leadership won', { key, createRevision });
    return given.leadership;
  } finally {
    if (!given.leadership) {
      mirror.stop();
      // Should the revocation fail, the lease runs out by itself.
      await given.lease?.revoke().catch(() => undefined);
    }
  }
}

/** Leader election on one key: whoever creates it leads, for as long as the lease under it lives. */
export function createElection(options: ElectionOptions): Election {
  return {
    campaign: async (signal) => {
      for (;;) {
        signal.throwIfAborted();
        try {
          const leadership = await attempt(options, signal);
          if (leadership) return leadership;
        } catch (thrown) {
          signal.throwIfAborted();
          const { code, message } = toVolumeError(thrown);
          if (code !== 'timeout') options.log.warn('cannot campaign', { key: options.key, why: message });
          await options.clock.sleep(500, signal);
        }
      }
    },
  };
}
