import { renameSync, writeFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Log } from '../../lib/log.ts';
import { renderVolumeName } from '../names.ts';
import type { VolumeId } from '../types.ts';

const useSchema = z.object({
  datastore: z.string(),
  name: z.string(),
  mountpoint: z.string(),
  /** Count of each mount ID of the engine. */
  ids: z.record(z.string(), z.number().int().positive()),
});

const liveMountSchema = useSchema.extend({
  epoch: z.number().int(),
  /** Lease that the attachment hangs on. */
  lease: z.string(),
  device: z.string(),
  fstype: z.string(),
  /** Below it lies a placeholder, which stays when the disk goes: see `deferred.ts`. */
  deferred: z.boolean().optional(),
});

interface Inherited {
  /** IDs from before this process began: containers may have gone without a word. */
  inherited: Set<string>;
}

/** A volume whose disk is mounted on this node. */
export type LiveMount = z.infer<typeof liveMountSchema> & Inherited;

/** A volume that containers use while its disk is waited for: a placeholder is mounted. */
export type WaitingMount = z.infer<typeof useSchema> & Inherited;

/** Whatever containers use here. */
export type VolumeUse = LiveMount | WaitingMount;

/** Whether its disk is there. */
export function isLive(use: VolumeUse): use is LiveMount {
  return 'device' in use;
}

const fileSchema = z.object({
  v: z.literal(1),
  bootId: z.string(),
  mounts: z.array(liveMountSchema),
  waiting: z.array(useSchema).default([]),
});

/** What is mounted here and for whom, kept over restarts of the process (not of the host). */
export interface MountTable {
  /** The volume if its disk is mounted. */
  get(id: VolumeId): LiveMount | undefined;
  /** All whose disks are mounted. */
  all(): LiveMount[];
  /** The volume, with its disk or without. */
  use(id: VolumeId): VolumeUse | undefined;
  uses(): VolumeUse[];
  /** Notes a use in the state that it has now, in place of any earlier one; on disk when it resolves. */
  put(use: VolumeUse): Promise<void>;
  delete(id: VolumeId): Promise<void>;
}

/** Reads what an earlier process of the same boot left; anything else counts as nothing. */
export async function openMountTable(parts: { path: string; bootId: string; log: Log }): Promise<MountTable> {
  const uses = new Map<string, VolumeUse>();
  const text = await readFile(parts.path, 'utf8').catch(() => undefined);
  if (text !== undefined) {
    try {
      const file = fileSchema.parse(JSON.parse(text));
      if (file.bootId === parts.bootId) {
        for (const use of [...file.mounts, ...file.waiting]) {
          uses.set(renderVolumeName(use), { ...use, inherited: new Set(Object.keys(use.ids)) });
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
      const plain = <T extends VolumeUse>({ inherited: _inherited, ...use }: T) => use;
      const all = [...uses.values()];
      const mounts = all.filter(isLive).map(plain);
      const waiting = all.filter((use) => !isLive(use)).map(plain);
      await mkdir(dirname(parts.path), { recursive: true });
      // Needs to last over a crash of the process only: no sync, so no disk is waited for.
      writeFileSync(`${parts.path}.new`, JSON.stringify({ v: 1, bootId: parts.bootId, mounts, waiting }));
      renameSync(`${parts.path}.new`, parts.path);
    };
    last = last.then(write, write);
    return last;
  };

  return {
    get(id) {
      const use = uses.get(renderVolumeName(id));
      return use && isLive(use) ? use : undefined;
    },
    all: () => [...uses.values()].filter(isLive),
    use: (id) => uses.get(renderVolumeName(id)),
    uses: () => [...uses.values()],
    put(use) {
      uses.set(renderVolumeName(use), use);
      return save();
    },
    delete(id) {
      uses.delete(renderVolumeName(id));
      return save();
    },
  };
}
