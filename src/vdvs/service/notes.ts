import { z } from 'zod';
import { toVolumeError } from '../../lib/errors.ts';
import { renderVolumeName } from '../names.ts';
import { type VolumeRecord, volumeRecordSchema } from '../types.ts';
import { backendOf, diskOf, type ServiceParts } from './service-parts.ts';

/** What is kept beside each disk: enough to make its record again when the store is lost. */
export const notesSchema = z.object({
  v: z.literal(1),
  kind: z.enum(['volume', 'snapshot']),
  /** Swarm cluster whose disk this is. */
  cluster: z.string(),
  record: volumeRecordSchema,
});
export type DiskNotes = z.infer<typeof notesSchema>;

/** Writes a disk's notes. @throws VolumeError as the backend. */
export async function writeNotes(
  parts: Pick<ServiceParts, 'backends' | 'cluster'>,
  kind: DiskNotes['kind'],
  record: VolumeRecord,
): Promise<void> {
  const notes: DiskNotes = { v: 1, kind, cluster: await parts.cluster(), record };
  await backendOf(parts, record).describe(diskOf(record), notes);
}

/** As `writeNotes` after a change of a disk that has notes already: older ones do, until the next change. */
export async function updateNotes(
  parts: Pick<ServiceParts, 'backends' | 'cluster' | 'log'>,
  kind: DiskNotes['kind'],
  record: VolumeRecord,
): Promise<void> {
  await writeNotes(parts, kind, record).catch((thrown) =>
    parts.log.warn('notes beside the disk not written', {
      volume: renderVolumeName(record),
      error: toVolumeError(thrown).message,
    }),
  );
}
