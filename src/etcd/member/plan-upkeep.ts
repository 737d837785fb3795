import type { Member } from './types.ts';

/** What this node's running member and the cluster look like. */
export interface UpkeepSituation {
  readonly self: string;
  readonly peerUrl: string;
  /** This member's own word; `undefined` when it does not answer. */
  readonly own: { readonly memberId: string; readonly leader: boolean } | undefined;
  readonly members: readonly Member[];
  /** Node IDs of the Swarm's managers, confirmed by the Swarm's quorum; `undefined` when it does not answer. */
  readonly managers: readonly string[] | undefined;
  /** Members by ID that answered just now. */
  readonly healthy: ReadonlySet<string>;
  /** Since when (monotonic ms) each member, by ID, has been without a manager, or has been joining without answering. */
  readonly since: UpkeepTimes;
  readonly now: number;
  readonly departedMs: number;
  readonly joinMs: number;
}

/** Begins of the two conditions that end in a removal, by member ID. */
export interface UpkeepTimes {
  readonly departed: ReadonlyMap<string, number>;
  readonly stalled: ReadonlyMap<string, number>;
}

/** The next change to the cluster's membership that this node should make. */
export type UpkeepStep =
  | { readonly do: 'promote'; readonly memberId: string }
  | { readonly do: 'update'; readonly memberId: string; readonly peerUrl: string }
  | { readonly do: 'remove'; readonly memberId: string; readonly reason: string }
  | { readonly do: 'nothing'; readonly reason: string };

/** Notes since when members have been departed or stalled. Pure; unknown managers change nothing. */
export function trackUpkeep(
  before: UpkeepTimes,
  seen: Pick<UpkeepSituation, 'members' | 'managers' | 'healthy' | 'now'>,
): UpkeepTimes {
  const { members, managers, healthy, now } = seen;
  const keep = (old: ReadonlyMap<string, number>, which: readonly Member[]): Map<string, number> =>
    new Map(which.map(({ id }) => [id, old.get(id) ?? now]));
  return {
    departed: managers
      ? keep(
          before.departed,
          members.filter((m) => !managers.includes(m.nodeId)),
        )
      : before.departed,
    stalled: keep(
      before.stalled,
      members.filter((m) => (m.learner || !m.started) && !healthy.has(m.id)),
    ),
  };
}

/** Whether the voters that are left after a removal, and answer, are a quorum of those left. */
function quorumWithout(member: Member, { members, healthy }: UpkeepSituation): boolean {
  if (member.learner) return true;
  const left = members.filter((other) => !other.learner && other.id !== member.id);
  const answering = left.filter((other) => healthy.has(other.id)).length;
  return left.length > 0 && answering >= Math.floor(left.length / 2) + 1;
}

/**
 * Decides what is to be done for the cluster's membership. Pure. Everyone looks after their own member; departed and stalled
 * members are removed by the node whose member leads etcd, so that nobody does it twice.
 */
export function planUpkeep(situation: UpkeepSituation): UpkeepStep {
  const { self, own, members, peerUrl, since, now } = situation;
  if (!own) return { do: 'nothing', reason: 'the member does not answer yet' };
  const mine = members.find((member) => member.id === own.memberId);
  if (!mine) return { do: 'nothing', reason: 'the member is not listed yet' };
  if (mine.learner) return { do: 'promote', memberId: mine.id };
  if (!mine.peerUrls.includes(peerUrl)) return { do: 'update', memberId: mine.id, peerUrl };
  if (!own.leader) return { do: 'nothing', reason: 'another member leads' };
  const longer = (begin: number | undefined, ms: number): boolean => begin !== undefined && now - begin >= ms;
  const due = members.flatMap((member) => {
    if (member.nodeId === self) return [];
    if (longer(since.departed.get(member.id), situation.departedMs)) {
      return [{ member, reason: 'its node is no manager of the Swarm any more' }];
    }
    if (longer(since.stalled.get(member.id), situation.joinMs)) {
      return [{ member, reason: 'it was added but did not come up' }];
    }
    return [];
  });
  const removable = due.find(({ member }) => quorumWithout(member, situation));
  if (removable) return { do: 'remove', memberId: removable.member.id, reason: removable.reason };
  const [blocked] = due;
  if (!blocked) return { do: 'nothing', reason: '' };
  return { do: 'nothing', reason: `member ${blocked.member.nodeId} stays: without it too few would answer` };
}
