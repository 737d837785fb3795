import type { Lease, Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { vfileKeys } from '../keys.ts';
import type { NodeRecord } from '../types.ts';

/** This node's sign of life at `/vfile/nodes/<node>`. */
export interface NodeRecordKeeper {
  /** Writes the record again with other contents. */
  set(record: NodeRecord): void;
  /** Called each time the record is written on a *new* lease: at first, and after the node counted as gone. */
  onRegistered(callback: () => void): void;
  /** Stops renewing; the record runs out with its lease, or is taken away at once. */
  stop(options: { remove: boolean }): Promise<void>;
}

/** Pauses between attempts while etcd is out of reach, ms. */
const retry = { first: 200, last: 2_000 } as const;

/**
 * Keeps the record alive on a lease; once that is lost (etcd was out of reach for too long), registers the node again.
 */
export function keepNodeRecord(parts: {
  store: Store;
  clock: Clock;
  log: Log;
  leaseMs: number;
  record: NodeRecord;
}): NodeRecordKeeper {
  const { store, clock, log, leaseMs } = parts;
  const stopped = new AbortController();
  const callbacks: (() => void)[] = [];
  let record = parts.record;
  let lease: Lease | undefined;
  let change = new AbortController();

  const write = async (on: Lease): Promise<void> => {
    await store.txn([], [{ put: vfileKeys.node(record.node), value: record, lease: on.id }]);
  };

  /** Holds one lease until it is lost. */
  const hold = async (): Promise<void> => {
    const held = await store.grantLease(leaseMs);
    lease = held;
    try {
      const lost = new AbortController();
      held.onLost(() => lost.abort());
      await write(held);
      log.info('node registered', { node: record.node });
      for (const callback of callbacks) callback();
      while (!lost.signal.aborted && !stopped.signal.aborted) {
        await clock
          .sleep(3_600_000, AbortSignal.any([lost.signal, stopped.signal, change.signal]))
          .catch(() => undefined);
        if (!change.signal.aborted) continue;
        change = new AbortController();
        await write(held);
      }
    } finally {
      lease = undefined;
      if (!stopped.signal.aborted) held.release();
      else lease = held;
    }
  };

  const run = async (): Promise<void> => {
    for (let pause: number = retry.first; !stopped.signal.aborted; ) {
      try {
        await hold();
        pause = retry.first;
        if (!stopped.signal.aborted)
          log.warn('node lease was lost, registering again', { node: record.node });
      } catch (thrown) {
        log.warn('cannot register this node', { error: toVolumeError(thrown).message });
        await clock.sleep(pause, stopped.signal).catch(() => undefined);
        pause = Math.min(pause * 2, retry.last);
      }
    }
  };
  const running = run();

  return {
    set(next) {
      record = next;
      change.abort();
    },
    onRegistered: (callback) => void callbacks.push(callback),
    async stop({ remove }) {
      stopped.abort();
      await running;
      if (!lease) return;
      if (remove) await lease.revoke().catch(() => undefined);
      else lease.release();
    },
  };
}
