import type { z } from 'zod';
import type { Entry } from '../etcd/store.ts';
import { parseVolumeKey } from './keys.ts';
import {
  type MountRecord,
  type MoveRequest,
  mountRecordSchema,
  moveRequestSchema,
  type ServerClaim,
  type ServerRecord,
  serverClaimSchema,
  serverRecordSchema,
  type VolumeSpec,
  type VolumeStatus,
  volumeSpecSchema,
  volumeStatusSchema,
} from './types.ts';

/** A record and the revision that a later write of it compares. */
export interface Read<T> {
  readonly value: T;
  readonly modRevision: number;
}

/** All that the store holds of one volume. */
export interface VolumeRecords {
  readonly name: string;
  readonly spec: Read<VolumeSpec> | undefined;
  readonly status: Read<VolumeStatus> | undefined;
  readonly claim: Read<ServerClaim> | undefined;
  readonly server: Read<ServerRecord> | undefined;
  readonly move: Read<MoveRequest> | undefined;
  readonly mounts: readonly Read<MountRecord>[];
  /** Records that do not have the expected form; a newer release may have written them. */
  readonly problems: readonly string[];
}

/** A key's value by its schema. @returns `undefined` when absent or not of that form. */
export function parseRecord<T>(schema: z.ZodType<T>, entry: Entry | undefined): Read<T> | undefined {
  const parsed = entry ? schema.safeParse(entry.value) : undefined;
  return entry && parsed?.success ? { value: parsed.data, modRevision: entry.modRevision } : undefined;
}

/** Sorts one volume's entries (any others are passed over) into its records. */
export function readVolume(name: string, entries: Iterable<Entry>): VolumeRecords {
  const problems: string[] = [];
  const found = new Map<string, Entry>();
  const mounts: Read<MountRecord>[] = [];
  for (const entry of entries) {
    const at = parseVolumeKey(entry.key);
    if (at?.volume !== name) continue;
    if (at.part !== 'mounts') found.set(at.part, entry);
    else {
      const mount = parseRecord(mountRecordSchema, entry);
      if (mount) mounts.push(mount);
      else problems.push(`${entry.key} does not have the expected form`);
    }
  }
  const part = <T>(key: string, schema: z.ZodType<T>): Read<T> | undefined => {
    const entry = found.get(key);
    const record = parseRecord(schema, entry);
    if (entry && !record) problems.push(`${entry.key} does not have the expected form`);
    return record;
  };
  return {
    name,
    spec: part('spec', volumeSpecSchema),
    status: part('status', volumeStatusSchema),
    claim: part('claim', serverClaimSchema),
    server: part('server', serverRecordSchema),
    move: part('move', moveRequestSchema),
    mounts,
    problems,
  };
}
