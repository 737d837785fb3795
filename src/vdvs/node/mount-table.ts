import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Log } from '../../lib/log.ts';
import { renderVolumeName } from '../names.ts';
import type { VolumeId } from '../types.ts';

const liveMountSchema = z.object({
  datastore: z.string(),
  name: z.string(),
  epoch: z.number().int(),
  /** Lease that the attachment hangs on. */
  lease: z.string(),
  device: z.string(),
  mountpoint: z.string(),
  fstype: z.string(),
  /** Count of each mount ID of the engine. */
  ids: z.record(z.string(), z.number().int().positive()),
});

/** A volume that is mounted on this node. */
export type LiveMount = z.infer<typeof liveMountSchema> & {
  /** IDs from before this process began: containers may have gone without a word. */
  inherited: Set<string>;
};

const fileSchema = z.object({ v: z.literal(1), bootId: z.string(), mounts: z.array(liveMountSchema) });

/** What is mounted here and for whom, kept over restarts of the process (not of the host). */
export interface MountTable {
  get(id: VolumeId): LiveMount | undefined;
  all(): LiveMount[];
  /** Notes a mount or its changed counts; on disk when it resolves. */
  put(mount: LiveMount): Promise<void>;
  delete(id: VolumeId): Promise<void>;
}

/** Reads what an earlier process of the same boot left; anything else counts as nothing. */
export async function openMountTable(parts: { path: string; bootId: string; log: Log }): Promise<MountTable> {
  const mounts = new Map<string, LiveMount>();
  const text = await readFile(parts.path, 'utf8').catch(() => undefined);
  if (text !== undefined) {
    try {
      const file = fileSchema.parse(JSON.parse(text));
      if (file.bootId === parts.bootId) {
        for (const mount of file.mounts) {
          mounts.set(renderVolumeName(mount), { ...mount, inherited: new Set(Object.keys(mount.ids)) });
        }
      }
    } catch (thrown) {
      parts.log.warn('mount table cannot be read', { path: parts.path, error: String(thrown) });
    }
  }

  // One writer at a time, each writing all that is known when its turn comes.
  let last: Promise<void> = Promise.resolve();
  const save = (): Promise<void> => {
    const write = async () => {
      const list = [...mounts.values()].map(({ inherited: _inherited, ...mount }) => mount);
      await mkdir(dirname(parts.path), { recursive: true });
      // Needs to last over a crash of the process only: no sync.
      await writeFile(`${parts.path}.new`, JSON.stringify({ v: 1, bootId: parts.bootId, mounts: list }));
      await rename(`${parts.path}.new`, parts.path);
    };
    last = last.then(write, write);
    return last;
  };

  return {
    get: (id) => mounts.get(renderVolumeName(id)),
    all: () => [...mounts.values()],
    put(mount) {
      mounts.set(renderVolumeName(mount), mount);
      return save();
    },
    delete(id) {
      mounts.delete(renderVolumeName(id));
      return save();
    },
  };
}
