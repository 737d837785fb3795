import { z } from 'zod';

/** `/vfile/volumes/<name>/spec`: what the user asked for. Written by plugins and the CLI. */
export const volumeSpecSchema = z.object({
  v: z.literal(1),
  name: z.string(),
  /** Options as given, checked; those of the base volume among them. */
  options: z.record(z.string(), z.string()),
  baseDriver: z.string(),
  baseVolume: z.string(),
  /** The volume's NFS port: unique in the cluster, never changes. */
  port: z.number().int().min(1024).max(32767),
  createdAt: z.string(),
  /** Node ID of the creator. */
  createdBy: z.string(),
  /** RFC 3339 time at which removal was asked for; ends the volume. */
  deleting: z.string().optional(),
});
export type VolumeSpec = z.infer<typeof volumeSpecSchema>;

/** `/vfile/volumes/<name>/mounts/<node>`: the mount IDs in use on one node, each with its count. */
export const mountRecordSchema = z.object({
  v: z.literal(1),
  node: z.string(),
  host: z.string(),
  address: z.string(),
  ids: z.record(z.string(), z.number().int().positive()),
  since: z.string(),
  /** For how many ms this node was without a server before it went on with the start of a server that is named here. */
  stall: z
    .object({ epoch: z.number().int(), instance: z.number().int(), ms: z.number().nonnegative() })
    .optional(),
});
export type MountRecord = z.infer<typeof mountRecordSchema>;

export const volumeStates = [
  'Creating',
  'Ready',
  'Mounting',
  'Mounted',
  'Unmounting',
  'Failing over',
  'Deleting',
  'Error',
] as const;
export type VolumeState = (typeof volumeStates)[number];

/** What is kept of one failover or planned move. The server was missed from `at` on; the other times are ms after it. */
export const failoverRecordSchema = z.object({
  /** RFC 3339. */
  at: z.string(),
  cause: z.string(),
  /** Host names. */
  from: z.string(),
  to: z.string().optional(),
  /** Who took over; absent when the server came back by itself. */
  by: z.enum(['standby', 'new task']).optional(),
  /** When a new server was ordered; absent when a standby, Swarm or the old server's own supervisor acted first. */
  orderedMs: z.number().optional(),
  /** When the new server had the claim: its container runs, its node is given the disk, the old server is out for good. */
  claimedMs: z.number().optional(),
  /** When the volume was served again; absent while it is not. */
  durationMs: z.number().optional(),
  /** The start that served then. */
  epoch: z.number().int().optional(),
  instance: z.number().int().optional(),
  /** When all clients could open and lock again; absent while the server waits for some to reclaim, or waited for none. */
  graceEndedMs: z.number().optional(),
  /** Clients that it waited for, and how many of them reclaimed. */
  awaited: z.number().int().optional(),
  reclaimed: z.number().int().optional(),
  /** The longest time in ms that a node which has the volume mounted was without a server, as that node saw it. */
  stallMs: z.number().optional(),
});
export type FailoverRecord = z.infer<typeof failoverRecordSchema>;

/** `/vfile/volumes/<name>/status`: written by the manager's leader only. */
export const volumeStatusSchema = z.object({
  v: z.literal(1),
  state: z.enum(volumeStates),
  /** Why it is in this state or what it waits for; for users. '' when there is nothing to say. */
  reason: z.string(),
  /** RFC 3339: since when it is in this state. */
  since: z.string(),
  /** RFC 3339: until when what it waits for should have come; passed, the state says so. */
  deadline: z.string().optional(),
  /**
   * Whether the base volume may have been created for this volume: no volume of its name existed before, so
   * whatever has the name is ours. Nothing is ever removed without it.
   */
  baseAsked: z.boolean().optional(),
  /** Whether the base volume is known to exist. */
  baseReady: z.boolean(),
  /** Whether containers with the base volume start before its disk is there: a standby is possible. */
  baseDeferred: z.boolean().optional(),
  /** The last server that was seen to serve. */
  server: z.object({ node: z.string(), address: z.string(), epoch: z.number().int() }).optional(),
  /** Where a second file server waits for the disk; host name. */
  standby: z.object({ node: z.string(), host: z.string() }).optional(),
  serviceName: z.string().optional(),
  lastFailover: failoverRecordSchema.optional(),
  /** Those before it, the newest first; only some are kept. */
  earlierFailovers: z.array(failoverRecordSchema).optional(),
  /** RFC 3339: when failovers that nobody had asked for ended on another host; the last few, the newest first. */
  unaskedMoves: z.array(z.string()).optional(),
});
export type VolumeStatus = z.infer<typeof volumeStatusSchema>;

/**
 * `/vfile/volumes/<name>/claim`, on the file server's lease: the exclusive right to start a server for the volume. Taken
 * (if absent) before ganesha is started; `epoch` is one more than the last in `/vfile/volumes/<name>/epoch`, which the
 * same transaction raises. So no epoch is served twice.
 */
export const serverClaimSchema = z.object({
  v: z.literal(1),
  node: z.string(),
  epoch: z.number().int().positive(),
  since: z.string(),
  /** Until the server serves: where its clients are accepted already, so that plugins may send them there. */
  address: z.string().optional(),
});
export type ServerClaim = z.infer<typeof serverClaimSchema>;

/** `/vfile/volumes/<name>/epoch`: the newest epoch ever claimed. Kept until the volume is deleted. */
export const serverEpochSchema = z.object({
  v: z.literal(1),
  epoch: z.number().int().nonnegative(),
  /**
   * Whether the volume was ever served: its disk carries the volume's mark then, while a claim may end before the disk came.
   * Absent in records of earlier versions, which claimed nothing before.
   */
  served: z.boolean().optional(),
});

/**
 * `/vfile/volumes/<name>/server`, on the same lease: who serves *now*. Written after the NULL call and the write probe
 * succeeded, deleted as soon as the server stops or is seen to be dead. Its absence makes plugins park.
 */
export const serverRecordSchema = z.object({
  v: z.literal(1),
  node: z.string(),
  host: z.string(),
  address: z.string(),
  port: z.number().int(),
  epoch: z.number().int().positive(),
  /** Counts starts of ganesha within the epoch. */
  instance: z.number().int().positive(),
  since: z.string(),
  /** Why the task that serves had to start again (its ganesha ended, or its claim was lost); absent at its first start. */
  after: z.string().optional(),
  /** Size and use of the exported file system in bytes, as of `since` or the last refresh. */
  capacity: z.object({ size: z.number(), used: z.number() }).optional(),
  /** After the end of a grace period in which clients were waited for: how many of them reclaimed. */
  grace: z
    .object({ awaited: z.number().int().positive(), reclaimed: z.number().int().nonnegative() })
    .optional(),
});
export type ServerRecord = z.infer<typeof serverRecordSchema>;

/**
 * `/vfile/volumes/<name>/move`: somebody wants the volume to be served from another node. Taken away by the leader when
 * that is so, or when it cannot be.
 */
export const moveRequestSchema = z.object({
  v: z.literal(1),
  /** Node ID to move to; absent: whichever is best. */
  to: z.string().optional(),
  /** Epoch of the server that is to be moved: one with a higher epoch has moved. */
  epoch: z.number().int(),
  at: z.string(),
  /** Set by the leader: the server is to stop by itself, since a standby will take over. */
  stop: z.boolean().optional(),
});
export type MoveRequest = z.infer<typeof moveRequestSchema>;

/** `/vfile/nodes/<node>`, on that node's plugin's lease: the node is alive. */
export const nodeRecordSchema = z.object({
  v: z.literal(1),
  node: z.string(),
  host: z.string(),
  address: z.string(),
  version: z.string(),
  /** What this node cannot do, for users; for example a kernel without re-targeting. */
  problems: z.array(z.string()),
});
export type NodeRecord = z.infer<typeof nodeRecordSchema>;
