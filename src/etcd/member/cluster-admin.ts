import type { IMember } from 'etcd3';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { NodeIdentitySource } from '../../lib/node-identity.ts';
import { EtcdConnections } from '../etcd-connections.ts';
import type { ClusterView, Member } from './types.ts';

/** How the members are reached. */
export interface ClusterAdminOptions {
  readonly identity: NodeIdentitySource;
  readonly endpoints: () => Promise<readonly string[]>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a member says of itself. */
export interface OwnStatus {
  readonly memberId: string;
  readonly clusterId: string;
  readonly leader: boolean;
  /** Member ID of the cluster's leader as this member knows it; '0' while there is none. */
  readonly leaderId: string;
}

const timeoutMs = 4_000;

function hostOf(url: string): string {
  return new URL(url).hostname;
}

function memberOf(member: IMember): Member {
  const [peerUrl] = member.peerURLs;
  return {
    id: member.ID,
    nodeId: peerUrl ? hostOf(peerUrl) : member.name,
    started: member.name !== '',
    learner: member.isLearner,
    peerUrls: member.peerURLs,
    clientAddresses: member.clientURLs.map((url) => new URL(url).host),
  };
}

/** Reads and changes the cluster's membership, through any member that answers. */
export class ClusterAdmin {
  readonly #options: ClusterAdminOptions;
  readonly #connections: EtcdConnections;

  constructor(options: ClusterAdminOptions) {
    this.#options = options;
    this.#connections = new EtcdConnections({ ...options, requestTimeoutMs: timeoutMs });
  }

  /** The members, as confirmed by a quorum just now; never rejects. @param patienceMs how long to ask. */
  async view(patienceMs: number): Promise<ClusterView> {
    try {
      const traits = { what: 'list members', repeatable: true, timeoutMs: patienceMs };
      return await this.#connections.call(traits, async (member, options) => {
        // etcd 3.4 answers the list from the member's own memory: the read before it proves that it is up to date.
        await member.kv.range({ key: Buffer.from('/'), count_only: true }, options);
        const response = await member.cluster.memberList({ linearizable: true }, options);
        return {
          answers: true,
          clusterId: response.header.cluster_id,
          members: response.members.map(memberOf),
        };
      });
    } catch (thrown) {
      return { answers: false, why: toVolumeError(thrown).message };
    }
  }

  /** What the reached member says of itself; `undefined` when it does not answer or knows no leader. */
  async status(): Promise<OwnStatus | undefined> {
    try {
      const traits = { what: 'status', repeatable: true, timeoutMs: 2_000 };
      return await this.#connections.call(traits, async (member, options) => {
        const { header, leader } = await member.maintenance.status(options);
        return {
          memberId: header.member_id,
          clusterId: header.cluster_id,
          leader: leader === header.member_id,
          leaderId: leader,
        };
      });
    } catch {
      return undefined;
    }
  }

  /** IDs of those members that answer and know a leader, each asked by itself; never rejects. */
  async healthy(members: readonly Member[]): Promise<ReadonlySet<string>> {
    const asked = members.map(async (member) => {
      if (member.clientAddresses.length === 0) return [];
      const { id } = member;
      return (await this.#at(member, (one) => one.status()))?.memberId === id ? [id] : [];
    });
    return new Set((await Promise.all(asked)).flat());
  }

  /**
   * Has the member of another node lead, if all voters answer: it must not cost the cluster its quorum. Done when it leads
   * already.
   * @throws VolumeError `unavailable` naming what is not as it must be, or what etcd says.
   */
  async moveLeader(nodeId: string): Promise<void> {
    const view = await this.view(timeoutMs);
    if (!view.answers) throw new VolumeError('unavailable', view.why);
    const voters = view.members.filter(({ started, learner }) => started && !learner);
    const [healthy, status] = await Promise.all([this.healthy(voters), this.status()]);
    const silent = voters.filter(({ id }) => !healthy.has(id)).map((voter) => voter.nodeId);
    if (silent.length > 0) {
      throw new VolumeError('unavailable', `members of etcd do not answer: ${silent.join(' ')}`);
    }
    const leader = voters.find(({ id }) => id === status?.leaderId);
    const next = voters.find((voter) => voter.nodeId === nodeId);
    if (!leader || !next) {
      throw new VolumeError('unavailable', `${leader ? nodeId : 'the leader'} is no voter of etcd now`);
    }
    if (leader.id === next.id) return;
    // Only the leader itself takes this order.
    await this.#at(leader, (one) =>
      one.#connections.call({ what: `let ${nodeId} lead`, repeatable: false }, (member, options) =>
        member.maintenance.moveLeader({ targetID: next.id }, options),
      ),
    );
  }

  /** Asks one member and no other. */
  async #at<T>({ clientAddresses }: Member, ask: (one: ClusterAdmin) => Promise<T>): Promise<T> {
    const one = new ClusterAdmin({ ...this.#options, endpoints: async () => clientAddresses });
    try {
      return await ask(one);
    } finally {
      one.close();
    }
  }

  /** Adds a member without a vote. An unknown outcome is thrown as `unavailable`; the next view shows it. */
  async addLearner(peerUrl: string): Promise<void> {
    await this.#connections.call({ what: `add member ${peerUrl}`, repeatable: false }, (member, options) =>
      member.cluster.memberAdd({ peerURLs: [peerUrl], isLearner: true }, options),
    );
  }

  /** Gives a learner its vote. @throws VolumeError `conflict` as long as it lags behind. */
  async promote(id: string): Promise<void> {
    await this.#connections.call({ what: `promote member ${id}`, repeatable: false }, (member, options) =>
      member.cluster.memberPromote({ ID: id }, options),
    );
  }

  async remove(id: string): Promise<void> {
    await this.#connections.call({ what: `remove member ${id}`, repeatable: false }, (member, options) =>
      member.cluster.memberRemove({ ID: id }, options),
    );
  }

  async update(id: string, peerUrl: string): Promise<void> {
    await this.#connections.call({ what: `update member ${id}`, repeatable: false }, (member, options) =>
      member.cluster.memberUpdate({ ID: id, peerURLs: [peerUrl] }, options),
    );
  }

  close(): void {
    this.#connections.close();
  }
}
