import { z } from 'zod';
import { volumeRecordSchema } from './types.ts';

/** Version prefix of the service's HTTP API. */
export const apiPrefix = '/v1';

/** `POST /v1/volumes`: options as Docker passed them; the service checks them. */
export const createRequestSchema = z.object({
  name: z.string(),
  datastore: z.string(),
  options: z.record(z.string(), z.string()),
  /** Host name of the caller, for people to read. */
  host: z.string(),
});

/** A volume as the service tells it. */
export const volumeViewSchema = z.object({
  record: volumeRecordSchema,
  /** Who holds it, if anyone. */
  attached: z.object({ node: z.string(), host: z.string(), epoch: z.number(), since: z.string() }).optional(),
  /** Bytes; absent in lists and when the datastore cannot be asked. */
  allocatedBytes: z.number().optional(),
});
export type VolumeView = z.infer<typeof volumeViewSchema>;

export const volumeListSchema = z.object({ volumes: z.array(volumeViewSchema) });

/** `POST .../attach`. */
export const attachRequestSchema = z.object({
  /** The caller's node lease: the attachment ends with it. */
  lease: z.string().regex(/^\d+$/),
  host: z.string(),
  /** ms the service may wait for another holder to let go before it answers `busy`. */
  waitMs: z.number().int().min(0).max(30_000),
});

/** What a holder gets to know. */
export const grantSchema = z.object({
  record: volumeRecordSchema,
  epoch: z.number().int().positive(),
  location: z.object({
    kind: z.literal('folder-file'),
    datastore: z.string(),
    file: z.string(),
    /** A file in the same folder, for a holder to make that has let go of the disk for good and reaches no service. */
    releaseNote: z.string().optional(),
  }),
  /** Whether the last holder unmounted cleanly; if not, check the file system before use. */
  clean: z.boolean(),
});
export type Grant = z.infer<typeof grantSchema>;

/** `POST .../detach`. */
export const detachRequestSchema = z.object({
  epoch: z.number().int().positive(),
  clean: z.boolean(),
  /** Creation of the volume that is meant: one of the same name that was made since keeps its attachment. */
  createdAt: z.string().optional(),
});

/** `POST .../formatted`. */
export const formattedRequestSchema = z.object({ epoch: z.number().int().positive() });

/** Body of every answer that is no success. */
export const errorBodySchema = z.object({ code: z.string(), message: z.string() });

/** `GET /v1/self`: the caller's vmgroup, and where its volumes are that are named without a datastore. */
export const selfSchema = z.object({ vmgroup: z.string(), defaultDatastore: z.string() });
export type Self = z.infer<typeof selfSchema>;

/** Answers without content. */
export const doneSchema = z.object({});
