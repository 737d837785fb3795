import { z } from 'zod';

/** A volume's full name: every vDVS volume lives on one datastore. Rendered `name@datastore`. */
export interface VolumeId {
  readonly datastore: string;
  readonly name: string;
}

/** Validated options of a block volume; defaults filled in. Sizes in bytes. */
export interface BlockOptions {
  readonly sizeBytes: number;
  readonly fstype: string;
  readonly diskformat: 'thin' | 'zeroedthick' | 'eagerzeroedthick';
  readonly attachAs: 'independent_persistent' | 'persistent';
  readonly access: 'read-write' | 'read-only';
  /** When a mount answers; absent when nobody asked for anything, which means `at-once`. See `node/deferred.ts`. */
  readonly attach?: 'at-once' | 'deferred' | undefined;
  readonly cloneFrom?: string | undefined;
  readonly policy?: string | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Permission bits of the root directory. */
  readonly mode?: number | undefined;
}

/** `/vdvs/volumes/<datastore>/<name>`: what the service knows of a volume for good. */
export const volumeRecordSchema = z.object({
  v: z.literal(1),
  name: z.string(),
  datastore: z.string(),
  /** Path of the disk relative to the datastore's folder. */
  disk: z.string(),
  /**
   * File with the disk's bytes, in the disk's folder, since a lost holder was left behind on another one; absent: the one
   * that is named after the disk.
   */
  extent: z
    .string()
    .regex(/^[^/]+$/)
    .optional(),
  /** UUID of the file system, given before it is made: how a half-made one is recognised. */
  fsUuid: z.string(),
  options: z.object({
    sizeBytes: z.number().int().positive(),
    fstype: z.string(),
    diskformat: z.enum(['thin', 'zeroedthick', 'eagerzeroedthick']),
    attachAs: z.enum(['independent_persistent', 'persistent']),
    access: z.enum(['read-write', 'read-only']),
    attach: z.enum(['at-once', 'deferred']).optional(),
    cloneFrom: z.string().optional(),
    policy: z.string().optional(),
    uid: z.number().int().optional(),
    gid: z.number().int().optional(),
    mode: z.number().int().optional(),
  }),
  createdAt: z.string(),
  createdBy: z.string(),
  /** `creating` until the disk exists; `deleting` from the decision to remove on. */
  phase: z.enum(['creating', 'ready', 'deleting']),
  /** Epoch of the newest attachment ever granted; only grows. */
  epoch: z.number().int().nonnegative(),
  /** Set by a node once the file system is made; never unset: a made file system is never made again. */
  formatted: z.boolean(),
  /**
   * Epoch of the newest attachment that its holder gave back. Below `epoch` while attached, and for good when the
   * holder's lease ran out instead: then the next holder waits a margin longer.
   */
  releasedEpoch: z.number().int().nonnegative().default(0),
  /** As `releasedEpoch`, but unmounted cleanly as well: the file system needs no check. */
  cleanEpoch: z.number().int().nonnegative().default(0),
  /** What the disk's content was copied from. */
  copyOf: z
    .object({
      datastore: z.string(),
      name: z.string(),
      /** Identity and epoch of the source when the copy was decided on: with any other one the copy is not whole. */
      fsUuid: z.string(),
      epoch: z.number().int().nonnegative(),
    })
    .optional(),
  /**
   * UUIDs of which the file system on the disk bears one until its first mount gives it its own (`fsUuid`). Absent for a
   * disk that was made blank.
   */
  inherits: z.array(z.string()).optional(),
  /** The disk was made larger (`options.sizeBytes`), its file system not yet. */
  growing: z.boolean().optional(),
  /** Number of the newest snapshot that was ever begun. */
  lastSnapshot: z.number().int().nonnegative().optional(),
});
export type VolumeRecord = z.infer<typeof volumeRecordSchema>;

/** `/vdvs/attachments/<datastore>/<name>`, on the holder's lease. */
export const attachmentSchema = z.object({
  v: z.literal(1),
  node: z.string(),
  host: z.string(),
  epoch: z.number().int().positive(),
  access: z.enum(['read-write', 'read-only']),
  since: z.string(),
});
export type Attachment = z.infer<typeof attachmentSchema>;
