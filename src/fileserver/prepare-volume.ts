import { chmod, chown, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { VolumeError } from '../lib/errors.ts';
import type { Run } from '../lib/exec.ts';
import type { Log } from '../lib/log.ts';
import { parseMountinfo } from '../lib/mountinfo.ts';
import { replaceFile } from '../lib/replace-file.ts';
import { handOverName, inUseName, keepName } from './attachment.ts';
import type { VolumeLayout } from './layout.ts';

const markerSchema = z.object({ v: z.literal(1), volume: z.string() });

/** What preparing needs to know. */
export interface PrepareOptions {
  readonly layout: VolumeLayout;
  readonly volume: string;
  /** Whether the volume was ever served: then its disk must already carry the volume's mark. */
  readonly servedBefore: boolean;
  readonly readOnly: boolean;
  /** Owner and mode of the exported directory, applied when it is made. */
  readonly root: { readonly uid?: number; readonly gid?: number; readonly mode?: number };
  readonly run: Run;
  readonly log: Log;
  /** Where the kernel lists mounts; tests give their own. */
  readonly mountInfoPath?: string;
}

/** A mount as the kernel lists it. */
export interface FoundMount {
  readonly type: string;
  readonly source: string;
  /** How it passes on and receives mounts: `shared:1`, `master:2`. */
  readonly tags: readonly string[];
}

/** The file system mounted exactly at `path`, from the text of `/proc/self/mountinfo`. The last mount there wins. */
export function findMount(mountInfo: string, path: string): FoundMount | undefined {
  const found = parseMountinfo(mountInfo).findLast(({ mountPoint }) => mountPoint === path);
  return found && { type: found.fstype, source: found.source, tags: found.tags };
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readMarker(path: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return markerSchema.parse(JSON.parse(text)).volume;
  } catch (cause) {
    throw new VolumeError('internal', `${path} is damaged: not the mark of a vFile volume`, { cause });
  }
}

/** ext4 has each change of such a directory, and of all made inside it, reach the disk before the call returns. */
async function markDirSync(path: string, run: Run, log: Log): Promise<void> {
  try {
    await run('chattr', ['+D', path], { timeoutMs: 5_000 });
  } catch (error) {
    log.warn(
      `${path} could not be marked dirsync: changes of directories reach the disk a moment after they are answered`,
      {
        reason: (error as Error).message,
      },
    );
  }
}

async function makeDataDirectory({ layout, root, run, log }: PrepareOptions, fsType: string): Promise<void> {
  // Mode and owner only at birth: afterwards they are the users' to change. Made under another name first, so that a
  // power cut between these steps does not leave a directory that looks finished.
  const unfinished = `${layout.private}/data.new`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished);
  await chown(unfinished, root.uid ?? 0, root.gid ?? 0);
  await chmod(unfinished, root.mode ?? 0o755);
  // NFS promises that a file that was made, renamed or removed is so on the disk when the client is told; ganesha leaves that
  // to the file system. Without it a power cut takes back what the last second did, and a client that has a new file open
  // finds it stale. XFS has no such mark: there vDVS mounts with `wsync`.
  if (fsType === 'ext4') await markDirSync(unfinished, run, log);
  await rename(unfinished, layout.data).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
}

async function exists(path: string): Promise<boolean> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  await handle?.close();
  return handle !== undefined;
}

/**
 * Looks at the mounted block volume and makes what is missing on it. Touches nothing that is not the volume's own disk:
 * an empty or foreign one in its place would otherwise be served, and written to, in its name.
 * @throws VolumeError `unavailable` when nothing is mounted there, `conflict` when it is not this volume's disk.
 */
export async function prepareVolume(options: PrepareOptions): Promise<{ fsType: string }> {
  const { layout, volume, run, log } = options;
  const mount = findMount(
    await readFile(options.mountInfoPath ?? '/proc/self/mountinfo', 'utf8'),
    layout.root,
  );
  if (!mount) {
    throw new VolumeError('unavailable', `no file system is mounted at ${layout.root}: nothing to export`);
  }
  const marked = await readMarker(layout.marker);
  if (options.servedBefore && marked !== volume) {
    const what = marked === undefined ? 'carries no mark of it' : `is that of volume ${marked}`;
    throw new VolumeError(
      'conflict',
      `${layout.root} (${mount.source}) is not the disk of volume ${volume}: it ${what}; not served`,
    );
  }
  if (options.readOnly && marked === volume) return { fsType: mount.type };

  await mkdir(layout.private, { recursive: true, mode: 0o700 });
  // Nobody heeded them, or the disk went before they could be taken away.
  const stale = [handOverName, inUseName, keepName].map((name) => join(layout.root, name));
  await Promise.all(stale.map((path) => rm(path, { force: true })));
  // A clone brings the records of its source's clients along, which are none of this volume's.
  if (marked !== volume) await rm(layout.recovery, { recursive: true, force: true });
  if (!(await exists(layout.recovery))) {
    await mkdir(layout.recovery, { mode: 0o700 });
    if (mount.type === 'ext4') await markDirSync(layout.recovery, run, log);
    await mkdir(`${layout.recovery}/v4recov`, { mode: 0o700 });
    await syncPath(layout.recovery);
  }
  if (!(await exists(layout.data))) await makeDataDirectory(options, mount.type);
  if (marked !== volume) {
    await replaceFile(layout.marker, `${JSON.stringify({ v: 1, volume })}\n`, { durable: true });
    await syncPath(layout.private);
    await syncPath(layout.root);
  }
  return { fsType: mount.type };
}
