import type { Mirror } from '../../etcd/mirror.ts';
import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { vfileKeys } from '../keys.ts';
import { recordMount, removeMount } from '../mount-records.ts';
import type { MountRecord } from '../types.ts';
import type { MountIds } from './mount-ids.ts';
import type { VolumeView } from './volume-view.ts';

/** This node, as its records show it. */
export interface ThisNode {
  readonly nodeId: string;
  readonly hostname: string;
  readonly address: string;
}

/** Writes this node's mount records: always the whole record, so writing it again does no harm. */
export interface OwnRecords {
  /**
   * Writes the IDs, or removes the record when there are none.
   * @throws VolumeError `not_found`, `busy` (being removed), `unavailable`.
   */
  write(volume: string, ids: MountIds): Promise<void>;
  /** How long this node was without a server in the last failover: from the next write on it is in the record. */
  noteStall(volume: string, stall: NonNullable<MountRecord['stall']>): void;
}

/** Records in etcd. */
export function createOwnRecords(parts: {
  store: Store;
  mirror: Mirror;
  view: VolumeView;
  clock: Clock;
  log: Log;
  node: () => ThisNode;
}): OwnRecords {
  const { store, mirror, view, clock, log } = parts;
  const since = new Map<string, string>();
  const stalls = new Map<string, NonNullable<MountRecord['stall']>>();

  return {
    noteStall: (volume, stall) => void stalls.set(volume, stall),

    async write(volume, ids) {
      const node = parts.node();
      if (ids.empty) {
        since.delete(volume);
        stalls.delete(volume);
        await removeMount({ store }, volume, node.nodeId);
        return;
      }
      const began =
        since.get(volume) ?? view.mount(volume, node.nodeId)?.since ?? new Date(clock.now()).toISOString();
      since.set(volume, began);
      const stall = stalls.get(volume) ?? view.mount(volume, node.nodeId)?.stall;
      const record: MountRecord = {
        v: 1,
        node: node.nodeId,
        host: node.hostname,
        address: node.address,
        ids: ids.toRecord(),
        since: began,
        ...(stall ? { stall } : {}),
      };
      // The mirror is nearly always current, and the condition tells when it is not: one round trip instead of two.
      const seen = mirror.entries.get(vfileKeys.spec(volume));
      if (seen && view.spec(volume)?.deleting === undefined) {
        const { done } = await store.txn(
          [{ key: seen.key, modRevision: seen.modRevision }],
          [{ put: vfileKeys.mount(volume, node.nodeId), value: record }],
        );
        if (done) return;
      }
      await recordMount({ store }, volume, record);
      log.debug('mount record written the long way: the mirror was behind', { volume });
    },
  };
}

/** Pauses between attempts to bring a record up to date in the background, ms. */
const retry = { first: 500, last: 5_000 } as const;

/**
 * Goes on until `attempt` succeeds or fails for a reason that waiting does not cure.
 * @returns when there is nothing more to do; never rejects.
 */
export async function insist(
  parts: { clock: Clock; log: Log; signal: AbortSignal; what: string },
  attempt: () => Promise<void>,
): Promise<void> {
  const { clock, log, signal, what } = parts;
  for (let pause: number = retry.first; !signal.aborted; pause = Math.min(pause * 2, retry.last)) {
    try {
      await attempt();
      return;
    } catch (thrown) {
      const error = toVolumeError(thrown);
      log.warn(`${what} failed`, { error: error.message });
      if (!error.retry) return;
      await clock.sleep(pause, signal).catch(() => undefined);
    }
  }
}
