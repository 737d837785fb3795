import type { Clock } from '../lib/clock.ts';
import type { ClusterAdmin } from './member/cluster-admin.ts';

const everyMs = 5_000;
const patienceMs = 2_000;

/** What following etcd's leader needs. */
export interface LeaderWatchOptions {
  readonly admin: Pick<ClusterAdmin, 'view' | 'status'>;
  readonly clock: Clock;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** One look. @returns the node ID of etcd's leader, `undefined` when it cannot be told. */
async function lookForLeader({ admin }: LeaderWatchOptions): Promise<string | undefined> {
  const [view, status] = await Promise.all([admin.view(patienceMs), admin.status()]);
  if (!view.answers || !status) return undefined;
  return view.members.find((member) => member.id === status.leaderId)?.nodeId;
}

/**
 * Follows on which node etcd's leader runs, up to 5 s late: good for preferring other nodes, not for anything that must be
 * right. When the leader is lost, etcd gives all leases their full time again, so what ran on its host is missed later.
 * @returns what is known now; `undefined` while nothing is.
 */
export function followEtcdLeader(options: LeaderWatchOptions): () => string | undefined {
  const { clock, signal } = options;
  const seen: { leader: string | undefined } = { leader: undefined };
  const follow = async (): Promise<void> => {
    while (!signal.aborted) {
      seen.leader = await lookForLeader(options);
      await clock.sleep(everyMs, signal);
    }
  };
  // The only rejection is that of a sleep cut short.
  follow().catch(() => undefined);
  return () => seen.leader;
}
