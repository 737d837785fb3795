import { z } from 'zod';
import { isErrorCode } from '../../lib/errors.ts';
import { mountRecordSchema, nodeRecordSchema, volumeStatusSchema } from '../../vfile/types.ts';

/** An error as the admin API answers it. */
export const apiError = z.object({
  error: z.object({
    code: z.string().transform((code) => (isErrorCode(code) ? code : 'internal')),
    message: z.string(),
  }),
});

const freshness = { synced: z.boolean(), problem: z.string().optional() };

/** One volume in an answer. */
export const volumeShown = z.object({
  name: z.string(),
  state: volumeStatusSchema.shape.state,
  reason: z.string(),
  since: z.string().optional(),
  deadline: z.string().optional(),
  options: z.record(z.string(), z.string()),
  baseDriver: z.string(),
  baseVolume: z.string(),
  port: z.number(),
  service: z.string(),
  server: z.object({ host: z.string(), address: z.string(), epoch: z.number() }).optional(),
  standby: z.string().optional(),
  capacity: z.object({ size: z.number(), used: z.number() }).optional(),
  mounts: z.array(mountRecordSchema.pick({ host: true, address: true, since: true, ids: true })),
  lastFailover: volumeStatusSchema.shape.lastFailover,
  earlierFailovers: volumeStatusSchema.shape.earlierFailovers,
  moving: z.boolean().default(false),
  createdAt: z.string(),
});
export type VolumeShown = z.infer<typeof volumeShown>;

export const volumesAnswer = z.object({ ...freshness, volumes: z.array(volumeShown) });
export const volumeAnswer = z.object({ ...freshness, volume: volumeShown });
export const resizeAnswer = z.object({ growing: z.boolean() });
/** The answer to a request to move a volume. */
export const moveAnswer = z.object({
  move: z.object({ from: z.string(), to: z.string().optional(), epoch: z.number(), already: z.boolean() }),
});
export const withdrawAnswer = z.object({ withdrawn: z.literal(true) });
export const nodesAnswer = z.object({ ...freshness, nodes: z.array(nodeRecordSchema) });
export const leaderAnswer = z.object({
  ...freshness,
  leader: z.object({ node: z.string(), host: z.string().optional(), since: z.string() }).nullable(),
});
/** The members of etcd; a problem when they cannot be told. */
export const etcdAnswer = z.object({
  ...freshness,
  etcd: z.object({
    members: z.array(
      z.object({
        node: z.string(),
        host: z.string().optional(),
        votes: z.boolean(),
        // Managers of earlier versions do not say.
        answers: z.boolean().default(true),
      }),
    ),
    problem: z.string().optional(),
  }),
});
