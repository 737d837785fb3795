import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from '../../lib/errors.ts';
import type { Run } from '../../lib/exec.ts';
import { type MountEntry, mountAt } from '../../lib/mountinfo.ts';
import { isPlaceholder, placeholderSource } from './mountinfo.ts';

/** The one file in a placeholder. Whoever uses the volume waits until it is no longer at the top of the mount point. */
export const placeholderFile = '.vdvs-not-attached';

const text = `The disk of this block volume is not attached to this host yet: another host may still have it.
It appears in this very place, and this file goes, as soon as the vDVS service grants it.
`;

/** ms for mounting a tmpfs, which takes none. */
const toolMs = 20_000;

/** What is mounted where a disk is to come: a tiny file system that nobody can write to. */
export interface Placeholders {
  /**
   * Mounts one; one that is there already is kept.
   * @throws VolumeError `internal` when something else is mounted there.
   */
  place(mountpoint: string): Promise<void>;
  /** Takes away what `place` left, also half of it; nothing happens where there is none on top. */
  remove(mountpoint: string): Promise<void>;
}

/** Placeholders in this process's mount name space. */
export function createPlaceholders({
  run,
  readMounts,
}: {
  run: Run;
  readMounts: () => Promise<MountEntry[]>;
}): Placeholders {
  const onTop = async (mountpoint: string) => mountAt(await readMounts(), mountpoint);

  const remove = async (mountpoint: string): Promise<void> => {
    for (let top = await onTop(mountpoint); top && isPlaceholder(top); top = await onTop(mountpoint)) {
      // Nothing in it is worth waiting for whoever looks at it.
      await run('umount', ['-l', mountpoint], { timeoutMs: toolMs });
    }
    // Without it nothing can be written into the folder below by mistake.
    await rmdir(mountpoint).catch(() => undefined);
  };

  return {
    remove,
    async place(mountpoint) {
      const top = await onTop(mountpoint);
      if (top && !isPlaceholder(top)) {
        throw new VolumeError('internal', `${top.source} is mounted at ${mountpoint} already`);
      }
      if (top?.options.includes('ro')) return;
      await remove(mountpoint);
      await mkdir(mountpoint, { recursive: true });
      try {
        await run('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0555', placeholderSource, mountpoint], {
          timeoutMs: toolMs,
        });
        await writeFile(join(mountpoint, placeholderFile), text, { mode: 0o444 });
        // The file system itself, not only this mount of it: containers have mounts of their own.
        await run('mount', ['-o', 'remount,ro', mountpoint], { timeoutMs: toolMs });
      } catch (thrown) {
        await remove(mountpoint).catch(() => undefined);
        throw thrown;
      }
    },
  };
}
