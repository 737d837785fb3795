import {
  type Claim,
  type ClusterView,
  claimName,
  type Manager,
  type Member,
  type MemberState,
} from './types.ts';

/** All that decides how this node's member is brought up. */
export interface MemberSituation {
  readonly self: string;
  readonly state: MemberState;
  /** Whether etcd's log is in the data directory. */
  readonly hasData: boolean;
  /** The cluster as the *other* managers' members tell. */
  readonly cluster: ClusterView;
  /** Who may form the cluster; `undefined` as long as the Swarm was not asked. */
  readonly claim: Claim | undefined;
  /** The Swarm's managers as far as they are known. */
  readonly managers: readonly Manager[];
}

/** The next thing to do; each can be repeated, and a crash after any of them leads to the same plan again. */
export type MemberStep =
  | { readonly do: 'start'; readonly with: 'data' }
  | { readonly do: 'start'; readonly with: 'bootstrap' }
  | { readonly do: 'start'; readonly with: 'join'; readonly members: readonly Member[] }
  | { readonly do: 'claim' }
  | { readonly do: 'add' }
  | { readonly do: 'remove'; readonly memberId: string; readonly reason: string }
  | { readonly do: 'set-aside'; readonly reason: string }
  | { readonly do: 'wait'; readonly reason: string };

/**
 * Decides how this node's etcd member comes up. Pure. What must never happen: two clusters, a member that votes twice
 * because its data are gone, data thrown away that the cluster still counts on.
 */
export function planMember(situation: MemberSituation): MemberStep {
  return situation.hasData ? withData(situation) : withoutData(situation);
}

function withData({ self, state, cluster }: MemberSituation): MemberStep {
  if (state.nodeId !== self) {
    if (cluster.answers) return { do: 'set-aside', reason: `the data are those of node ${state.nodeId}` };
    return {
      do: 'wait',
      reason:
        `the etcd data here are those of node ${state.nodeId}, and no other manager's etcd answers (${cluster.why}). ` +
        'Start the other managers; or, to begin with an empty store, move the data directory away',
    };
  }
  // Nobody to ask, all managers just restarted: the data decide, and etcd needs a quorum of them to do anything.
  if (!cluster.answers) return { do: 'start', with: 'data' };
  if (state.clusterId !== undefined && state.clusterId !== cluster.clusterId) {
    return {
      do: 'wait',
      reason:
        `the other managers run another etcd cluster (${cluster.clusterId}) than the one whose data are here ` +
        `(${state.clusterId}). Decide which one to keep and move the other's data directory away`,
    };
  }
  const listed = cluster.members.some((member) =>
    state.memberId === undefined ? member.nodeId === self : member.id === state.memberId,
  );
  if (!listed) return { do: 'set-aside', reason: 'the cluster has removed this member' };
  return { do: 'start', with: 'data' };
}

function withoutData(situation: MemberSituation): MemberStep {
  const { self, state, cluster } = situation;
  if (!cluster.answers) return withoutCluster(situation, cluster.why);
  const mine = cluster.members.find((member) => member.nodeId === self);
  if (mine && (mine.started || state.hadData)) {
    // It may have voted; the same member with an empty log could vote again, differently.
    return { do: 'remove', memberId: mine.id, reason: 'the data of this member are gone' };
  }
  if (mine) return { do: 'start', with: 'join', members: cluster.members };
  const joining = cluster.members.find((member) => member.learner || !member.started);
  if (joining)
    return { do: 'wait', reason: `the member of node ${joining.nodeId} is joining; one joins at a time` };
  return { do: 'add' };
}

function withoutCluster({ self, state, claim, managers }: MemberSituation, why: string): MemberStep {
  const beginAnew = `to begin with an empty store instead, remove the Swarm config: docker config rm ${claimName}`;
  if (state.hadData && state.nodeId === self) {
    return {
      do: 'wait',
      reason: `etcd's data of this node are gone, and no other manager's etcd answers (${why}): start the others`,
    };
  }
  if (!claim) return { do: 'claim' };
  if (claim.node === self && claim.nonce === state.nonce) return { do: 'start', with: 'bootstrap' };
  if (claim.node === self) {
    return {
      do: 'wait',
      reason:
        `this node once formed the etcd cluster, but its data are gone, and no other manager's etcd answers (${why}). ` +
        `Start the other managers; ${beginAnew}`,
    };
  }
  if (managers.some((manager) => manager.nodeId === claim.node)) {
    return {
      do: 'wait',
      reason: `node ${claim.node} forms the etcd cluster; it does not answer yet (${why})`,
    };
  }
  return {
    do: 'wait',
    reason:
      `node ${claim.node}, which was to form the etcd cluster, is no manager any more, and no other manager's etcd ` +
      `answers (${why}). If managers with etcd data exist, start them; ${beginAnew}`,
  };
}
