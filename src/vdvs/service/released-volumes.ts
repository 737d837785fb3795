import type { Clock } from '../../lib/clock.ts';
import { vdvsKeys } from '../keys.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import type { Read } from './records.ts';

/**
 * Volumes as this service left them when it last took an attachment back. A container that is started again asks for its disk
 * a moment later; what is remembered saves it a look at the store. It is a guess: whoever uses it compares the revision, and
 * reads when others have changed the volume since.
 */
export interface ReleasedVolumes {
  put(id: VolumeId, volume: Read<VolumeRecord>): void;
  /** Gives it out once. @returns `undefined` when nothing is remembered, or for too long. */
  take(id: VolumeId): Read<VolumeRecord> | undefined;
}

/** For so long, ms, and so many volumes. */
const limits = { ms: 30_000, volumes: 1_000 } as const;

/** Remembers nothing yet. */
export function createReleasedVolumes({ clock }: { clock: Clock }): ReleasedVolumes {
  const known = new Map<string, { volume: Read<VolumeRecord>; at: number }>();
  return {
    put(id, volume) {
      const key = vdvsKeys.volume(id);
      known.delete(key);
      known.set(key, { volume, at: clock.monotonic() });
      const [oldest] = known.keys();
      if (known.size > limits.volumes && oldest !== undefined) known.delete(oldest);
    },
    take(id) {
      const key = vdvsKeys.volume(id);
      const found = known.get(key);
      known.delete(key);
      return found && clock.monotonic() - found.at <= limits.ms ? found.volume : undefined;
    },
  };
}
