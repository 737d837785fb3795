import { z } from 'zod';
import { volumeRecordSchema } from './types.ts';

const volumeIdSchema = z.object({ datastore: z.string(), name: z.string() });

/** `POST /v1/admin/volumes/<datastore>/<name>/resize`. */
export const resizeRequestSchema = z.object({
  /** As users write it, for example `20gb`. */
  size: z.string(),
  /** Host name of the caller, for people to read. */
  host: z.string(),
});

/** `POST .../grown`: a holder has grown the file system. */
export const grownRequestSchema = z.object({
  epoch: z.number().int().positive(),
  sizeBytes: z.number().int().positive(),
});

/** `POST /v1/tasks`: what the calling node has to do; waits for there to be something. */
export const tasksRequestSchema = z.object({ waitMs: z.number().int().min(0).max(60_000) });
export const tasksSchema = z.object({
  grow: z.array(z.object({ volume: volumeIdSchema, sizeBytes: z.number().int().positive() })),
});

/** `POST /v1/admin/volumes/<datastore>/<name>/snapshots`. */
export const snapshotRequestSchema = z.object({ host: z.string() });
export const snapshotSchema = z.object({ record: volumeRecordSchema });
/** `GET` of the same, and of `/v1/admin/snapshots`. */
export const snapshotListSchema = z.object({
  snapshots: z.array(
    volumeRecordSchema.extend({
      /** Name of the group that it belongs to; '' for what belongs to nobody, and from a service of an earlier version. */
      vmgroup: z.string().default(''),
    }),
  ),
});
export type SnapshotView = z.infer<typeof snapshotListSchema>['snapshots'][number];

/** `POST /v1/admin/datastores/<datastore>/scan`. */
export const scanRequestSchema = z.object({ adopt: z.boolean(), dryRun: z.boolean() });
export const scanReportSchema = z.object({
  disks: z.array(
    z.object({
      disk: z.string(),
      name: z.string().optional(),
      outcome: z.enum(['present', 'recovered', 'adopted', 'refused', 'strange', 'missing']),
      why: z.string(),
    }),
  ),
  swept: z.array(z.string()),
});
export type ScanReport = z.infer<typeof scanReportSchema>;
