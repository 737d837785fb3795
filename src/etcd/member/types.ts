import { z } from 'zod';

/** A member as the cluster lists it. */
export interface Member {
  /** Decimal string. */
  readonly id: string;
  /** The node's ID, from the host in the peer address: known even before the member first starts. */
  readonly nodeId: string;
  /** False until the member has started for the first time. */
  readonly started: boolean;
  /** Has no vote yet. */
  readonly learner: boolean;
  readonly peerUrls: readonly string[];
  /** `host:port` for clients. */
  readonly clientAddresses: readonly string[];
}

/** What asking the cluster gave: a list that its quorum confirmed, or why there is none. */
export type ClusterView =
  | { readonly answers: true; readonly clusterId: string; readonly members: readonly Member[] }
  | { readonly answers: false; readonly why: string };

/** A manager of the Swarm and where it is. */
export interface Manager {
  readonly nodeId: string;
  readonly address: string;
}

/** `state.json` beside etcd's data: what this supervisor must know after a restart. */
export const memberStateSchema = z.object({
  v: z.literal(1),
  nodeId: z.string(),
  /** Proof that a claim to form the cluster is this very installation's, not that of one whose disk was lost. */
  nonce: z.string().optional(),
  /** Whether etcd's data were once seen here. */
  hadData: z.boolean(),
  clusterId: z.string().optional(),
  memberId: z.string().optional(),
  /** The managers last known: to find them again when neither Swarm nor etcd has a quorum yet. */
  managers: z.array(z.object({ nodeId: z.string(), address: z.string() })),
});
export type MemberState = z.infer<typeof memberStateSchema>;

/** Content of the Swarm config that decides who forms the cluster. */
export const claimSchema = z.object({ v: z.literal(1), node: z.string(), nonce: z.string() });
export type Claim = z.infer<typeof claimSchema>;

/** Name of that config. */
export const claimName = 'vfile-etcd-bootstrap';
