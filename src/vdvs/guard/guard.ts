import type { Lease, Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Fence } from './fence.ts';
import type { GuardStateFile } from './guard-state.ts';
import type { FromGuard } from './messages.ts';

/** What the guard needs. */
export interface NodeGuardParts {
  readonly store: Store;
  readonly fence: Fence;
  readonly state: GuardStateFile;
  readonly bootId: string;
  /** Mounts of an earlier life. */
  readonly leftovers: () => { mountpoint: string; device: string }[];
  readonly leaseMs: number;
  /** File systems are shut down this long before the lease can have run out, in ms. */
  readonly marginMs: number;
  /** Addresses of etcd, to be remembered for the next life. */
  readonly endpoints: () => readonly string[];
  /** The host's monotonic clock in ms, the same for all processes. */
  readonly hostMs: () => number;
  /** To the main process, whichever is running. */
  readonly tell: (message: FromGuard) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** The node's lease and what depends on it. */
export interface NodeGuard {
  /** Works until the signal ends it. */
  run(signal: AbortSignal): Promise<void>;
  protect(mount: { mountpoint: string; device: string }, lease: string): void;
  release(mountpoint: string): void;
  shutdown(mount: { mountpoint: string; device: string }): Promise<boolean>;
  /** Tells a main process that has just started how things are. */
  greet(): void;
  /** Shuts down what is still mounted and gives the lease back. */
  end(reason: string): Promise<void>;
}

/** ms between two looks at the clock, and between two attempts to get a lease. */
const times = { tickMs: 200, retryMs: 300 } as const;
/**
 * A lease that was just renewed when contact is lost lets the host go on for longest: with one renewal a second or two apart,
 * much of it would be gone already, and a file server's own lease must run out before its disk's.
 */
const renewal = { everyMs: 500 } as const;

interface Held {
  readonly lease: Lease;
  readonly kept: boolean;
  /** etcd said so. */
  gone: boolean;
}

/**
 * Holds the node's lease, and shuts file systems down before it can have run out, by the monotonic clock. A host that was
 * frozen finds its lease too old at the first look after the thaw, whatever it was doing.
 */
export function createNodeGuard(parts: NodeGuardParts): NodeGuard {
  const { store, fence, clock, log } = parts;
  const mounts = new Map<string, { device: string; fenced: boolean }>();
  const now: { held: Held | undefined; last: FromGuard | undefined } = { held: undefined, last: undefined };

  const announce = (message: FromGuard) => {
    now.last = message;
    parts.tell(message);
  };

  const remember = (lease: Lease) => {
    parts.state.write({
      v: 1,
      bootId: parts.bootId,
      lease: lease.id,
      safeUntilHostMs: parts.hostMs() + lease.safeUntil() - clock.monotonic(),
      endpoints: [...parts.endpoints()],
    });
  };

  /** @returns false when the file system may still write. */
  const fenceOne = async (
    mountpoint: string,
    mount: { device: string; fenced: boolean },
    safeUntil: number,
  ): Promise<boolean> => {
    try {
      mount.fenced = await fence.shutdown({ mountpoint, device: mount.device });
      if (!mount.fenced) return true;
      log.warn('file system shut down', { mountpoint, device: mount.device });
    } catch (thrown) {
      log.error('file system not shut down', { mountpoint, error: toVolumeError(thrown).message });
      return false;
    }
    // Too late, the same writes would be another host's loss.
    if (clock.monotonic() >= safeUntil) return true;
    await fence.flush(mount.device).catch((thrown) => {
      log.warn('device not flushed', { device: mount.device, error: toVolumeError(thrown).message });
    });
    return true;
  };

  /** Also what is mounted only now, by a main process that had not heard of it. */
  const fenceAll = async (safeUntil: number): Promise<boolean> => {
    const open = [...mounts].filter(([, mount]) => !mount.fenced);
    const results = await Promise.all(
      open.map(([mountpoint, mount]) => fenceOne(mountpoint, mount, safeUntil)),
    );
    return results.every((stopped) => stopped);
  };

  const lose = async (reason: string, safeUntil: number) => {
    const held = now.held;
    now.held = undefined;
    log.warn('giving up the lease', { reason, mounts: mounts.size });
    const stopped = await fenceAll(safeUntil);
    announce({ type: 'fenced', reason });
    held?.lease.release();
    // Nothing is written here any more: whoever waits need not wait for the lease to run out.
    if (stopped) {
      held?.lease.revoke().catch((thrown) => {
        log.info('old lease runs out by itself', { error: toVolumeError(thrown).message });
      });
    }
  };

  const hold = (lease: Lease, kept: boolean) => {
    now.held = { lease, kept, gone: false };
    remember(lease);
    lease.onRenewed(() => remember(lease));
    // The loop looks in a moment: it alone gives leases up, so that nothing can come between.
    lease.onLost(() => {
      if (now.held?.lease === lease) now.held.gone = true;
    });
    announce({ type: 'lease', lease: lease.id, kept });
    log.info('holding a lease', { lease: lease.id, kept });
  };

  /** Goes on with the lease of an earlier life of this boot, if that can be had before it may have run out. */
  const resume = async (signal: AbortSignal) => {
    const earlier = parts.state.read();
    for (const { mountpoint, device } of parts.leftovers()) mounts.set(mountpoint, { device, fenced: false });
    if (!earlier) {
      if (mounts.size > 0)
        await lose('nothing is known of the lease of an earlier life', Number.NEGATIVE_INFINITY);
      return;
    }
    if (earlier.bootId !== parts.bootId) {
      // The host was restarted: nothing of that life can write any more.
      const old = await store.adoptLease(earlier.lease).catch(() => undefined);
      await old?.revoke().catch(() => undefined);
      if (mounts.size > 0) await lose('the host was restarted', Number.NEGATIVE_INFINITY);
      return;
    }
    const safeUntil = clock.monotonic() + earlier.safeUntilHostMs - parts.hostMs();
    while (!signal.aborted && clock.monotonic() < safeUntil - parts.marginMs) {
      const left = safeUntil - parts.marginMs - clock.monotonic();
      const answered = new AbortController();
      try {
        const adoption = store.adoptLease(earlier.lease, renewal);
        const late = clock
          .sleep(left, AbortSignal.any([signal, answered.signal]))
          .then(() => 'late' as const);
        late.catch(() => undefined);
        const lease = await Promise.race([adoption, late]);
        if (lease === 'late') {
          adoption.then(
            (one) => one?.release(),
            () => undefined,
          );
          break;
        }
        if (!lease) break;
        hold(lease, true);
        return;
      } catch (thrown) {
        announce({ type: 'waiting', reason: toVolumeError(thrown).message });
        await clock.sleep(Math.min(times.retryMs, left), signal).catch(() => undefined);
      } finally {
        answered.abort();
      }
    }
    await lose('the lease of an earlier life could not be kept', safeUntil);
  };

  const obtain = async (signal: AbortSignal) => {
    try {
      const lease = await store.grantLease(parts.leaseMs, renewal);
      if (signal.aborted) await lease.revoke();
      else hold(lease, false);
    } catch (thrown) {
      announce({ type: 'waiting', reason: toVolumeError(thrown).message });
      await clock.sleep(times.retryMs, signal).catch(() => undefined);
    }
  };

  return {
    async run(signal) {
      await resume(signal);
      if (!now.held) announce({ type: 'fenced', reason: 'no lease yet' });
      while (!signal.aborted) {
        if (!now.held) {
          await fenceAll(Number.NEGATIVE_INFINITY);
          await obtain(signal);
          continue;
        }
        if (now.held.gone) {
          await lose('etcd says that the lease is gone', Number.NEGATIVE_INFINITY);
          continue;
        }
        const safeUntil = now.held.lease.safeUntil();
        if (clock.monotonic() >= safeUntil - parts.marginMs) {
          await lose('the lease could not be renewed in time', safeUntil);
          continue;
        }
        await clock.sleep(times.tickMs, signal).catch(() => undefined);
      }
    },
    protect(mount, lease) {
      if (now.held?.lease.id !== lease || now.held.gone) {
        // Kept in mind all the same: should it be mounted later, it is shut down.
        mounts.set(mount.mountpoint, { device: mount.device, fenced: false });
        throw new VolumeError('unavailable', 'this node lost its lease meanwhile');
      }
      mounts.set(mount.mountpoint, { device: mount.device, fenced: false });
    },
    release: (mountpoint) => void mounts.delete(mountpoint),
    async shutdown({ mountpoint, device }) {
      const known = mounts.get(mountpoint);
      // Once is enough, and whoever waits for the disk waits for this too.
      if (known?.fenced && known.device === device) return true;
      return await fence.shutdown({ mountpoint, device });
    },
    greet() {
      if (now.last) parts.tell(now.last);
    },
    async end(reason) {
      const held = now.held;
      now.held = undefined;
      const stopped = await fenceAll(held?.lease.safeUntil() ?? Number.NEGATIVE_INFINITY);
      log.info('ending', { reason });
      held?.lease.release();
      if (stopped) await held?.lease.revoke().catch(() => undefined);
    },
  };
}
