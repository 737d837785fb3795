import { leaderRecordSchema } from '../etcd/election.ts';
import type { ClusterView } from '../etcd/member/types.ts';
import type { Mirror } from '../etcd/mirror.ts';
import { parseVolumeKey, vfileKeys } from '../vfile/keys.ts';
import { parseRecord, readVolume } from '../vfile/read-volume.ts';
import { type NodeRecord, nodeRecordSchema } from '../vfile/types.ts';
import { reportVolume, type VolumeReport } from './volume-report.ts';

/** Copies of the store that the API answers from, so that it answers also while etcd is out of reach. */
export interface AdminMirrors {
  /** Of `/vfile/volumes/`. */
  readonly volumes: Mirror;
  /** Of `/vfile/nodes/`. */
  readonly nodes: Mirror;
  /** Of `/vfile/leader`. */
  readonly leader: Mirror;
}

/** How current an answer is. */
export interface Freshness {
  readonly synced: boolean;
  /** Why the data may be old; absent when they are not. */
  readonly problem?: string;
}

/** A member of etcd's cluster. */
export interface EtcdMemberReport {
  readonly node: string;
  readonly host: string | undefined;
  /** Whether it counts for the quorum; a new member has its vote as soon as it has all data. */
  readonly votes: boolean;
  /** Whether it answers and knows a leader now. */
  readonly answers: boolean;
}

/** What asking etcd for its members gave. */
export interface EtcdView {
  readonly cluster: ClusterView;
  /** IDs of the members that answer and know a leader. */
  readonly healthy: ReadonlySet<string>;
}

/** What the API knows. */
export class AdminData {
  readonly #mirrors: AdminMirrors;

  constructor(mirrors: AdminMirrors) {
    this.#mirrors = mirrors;
  }

  freshness(): Freshness {
    const { problem } = this.#mirrors.volumes;
    return problem === undefined ? { synced: true } : { synced: false, problem };
  }

  volumes(): VolumeReport[] {
    const { entries } = this.#mirrors.volumes;
    const names = new Map<string, string[]>();
    for (const key of entries.keys()) {
      const at = parseVolumeKey(key);
      if (at) names.set(at.volume, [...(names.get(at.volume) ?? []), key]);
    }
    const reports = [...names].flatMap(([name, keys]) => {
      const own = keys.flatMap((key) => entries.get(key) ?? []);
      return reportVolume(readVolume(name, own)) ?? [];
    });
    return reports.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  volume(name: string): VolumeReport | undefined {
    const own = [...this.#mirrors.volumes.entries].flatMap(([key, entry]) =>
      key.startsWith(vfileKeys.volume(name)) ? [entry] : [],
    );
    return reportVolume(readVolume(name, own));
  }

  nodes(): NodeRecord[] {
    const found = [...this.#mirrors.nodes.entries.values()].flatMap(
      (entry) => parseRecord(nodeRecordSchema, entry)?.value ?? [],
    );
    return found.sort((a, b) => (a.host < b.host ? -1 : 1));
  }

  /** The manager that leads; `undefined` while none does. */
  leader(): { readonly node: string; readonly host: string | undefined; readonly since: string } | undefined {
    const record = parseRecord(leaderRecordSchema, this.#mirrors.leader.entries.get(vfileKeys.leader))?.value;
    if (!record) return undefined;
    const host = this.nodes().find((node) => node.node === record.node)?.host;
    return { node: record.node, host, since: record.since };
  }

  /** etcd's members with the names of their hosts, or why they cannot be told. */
  etcd({ cluster, healthy }: EtcdView): { members: EtcdMemberReport[]; problem?: string } {
    if (!cluster.answers) return { members: [], problem: cluster.why };
    const hosts = new Map(this.nodes().map(({ node, host }) => [node, host]));
    const members = cluster.members.map(({ id, nodeId: node, started, learner }) => ({
      node,
      host: hosts.get(node),
      votes: started && !learner,
      answers: healthy.has(id),
    }));
    return { members: members.sort((a, b) => ((a.host ?? a.node) < (b.host ?? b.node) ? -1 : 1)) };
  }
}
