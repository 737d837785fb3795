import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
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

const waitingSchema = useSchema.extend({
  /** Mount IDs of those that have given the disk back and only have to end: it is not waited for on their behalf. */
  over: z.array(z.string()).optional(),
});

const liveMountSchema = useSchema.extend({
  epoch: z.number().int(),
  /** Lease that the attachment hangs on. */
  lease: z.string(),
  device: z.string(),
  /** File of the loop device. Earlier versions did not note it. */
  file: z.string().optional(),
  fstype: z.string(),
  /** Path of the file that says that this holder has let go of the disk for good. */
  releaseNote: z.string().optional(),
  /** Below it lies a placeholder, which stays when the disk goes: see `deferred.ts`. */
  deferred: z.boolean().optional(),
});

interface Inherited {
  /**
   * How much of each ID's count is from before this process began: those containers may have gone without a word. A container
   * that is started again after its engine was killed is mounted with the ID that it had.
   */
  inherited: Map<string, number>;
}

/** A volume whose disk is mounted on this node. */
export type LiveMount = z.infer<typeof liveMountSchema> & Inherited;

/** A volume that containers use while its disk is waited for: a placeholder is mounted. */
export type WaitingMount = z.infer<typeof waitingSchema> & Inherited;

/** Whatever containers use here. */
export type VolumeUse = LiveMount | WaitingMount;

/** One use more, which this process has seen begin. */
export function addUse(use: VolumeUse, id: string): void {
  use.ids[id] = (use.ids[id] ?? 0) + 1;
  // The engine gives a container that it starts again the ID that it had.
  if (!isLive(use) && use.over) use.over = use.over.filter((one) => one !== id);
}

/** One use less: one that this process has seen begin, if there is any. @returns whether there was one. */
export function endUseOf({ ids, inherited }: VolumeUse, id: string): boolean {
  const count = ids[id];
  if (count === undefined) return false;
  if (count > 1) ids[id] = count - 1;
  else delete ids[id];
  const before = inherited.get(id) ?? 0;
  if (before < count) return true;
  if (before > 1) inherited.set(id, before - 1);
  else inherited.delete(id);
  return true;
}

/** Ends the uses that only an earlier process saw. */
export function endInherited(use: VolumeUse): void {
  for (const [id, count] of use.inherited) {
    const own = (use.ids[id] ?? 0) - count;
    if (own > 0) use.ids[id] = own;
    else delete use.ids[id];
  }
  use.inherited.clear();
}

/** Whether its disk is there. */
export function isLive(use: VolumeUse): use is LiveMount {
  return 'device' in use;
}

const fileSchema = z.object({
  v: z.literal(1),
  bootId: z.string(),
  mounts: z.array(liveMountSchema),
  waiting: z.array(waitingSchema).default([]),
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
          uses.set(renderVolumeName(use), { ...use, inherited: new Map(Object.entries(use.ids)) });
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
      mkdirSync(dirname(parts.path), { recursive: true });
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
