import { readFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { VolumeError } from '../../lib/errors.ts';
import { parseMountinfo as parseLines } from '../../lib/mountinfo.ts';

/** One line of `/proc/self/mountinfo` (proc(5)), as far as this project needs it. */
export interface MountEntry {
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
  /** Options of the mount and its super block: for NFS `port=20490`, `addr=10.0.0.1` and so on. */
  readonly options: ReadonlyMap<string, string>;
}

/** A vFile volume that is mounted on this node. */
export interface MountedVolume {
  readonly volume: string;
  readonly path: string;
  readonly port: number;
  /** Address given at mount time. The kernel shows it for ever, also after the transport was re-targeted. */
  readonly mountedFrom: string;
}

function parseOptions(options: readonly string[]): Map<string, string> {
  return new Map(
    options.map((option) => {
      const equals = option.indexOf('=');
      return equals < 0 ? [option, ''] : [option.slice(0, equals), option.slice(equals + 1)];
    }),
  );
}

/** Parses `/proc/self/mountinfo`; lines of another form are left out. */
export function parseMountinfo(text: string): MountEntry[] {
  return parseLines(text).map(({ mountPoint, fstype, source, options }) => ({
    ...{ mountPoint, fsType: fstype, source },
    options: parseOptions(options),
  }));
}

/** The vFile volumes among the mounts: NFS, directly below `mountRoot`, with a port. Stacked mounts count once. */
export function mountedVolumes(entries: readonly MountEntry[], mountRoot: string): MountedVolume[] {
  const found = new Map<string, MountedVolume>();
  for (const { mountPoint, fsType, source, options } of entries) {
    if (!fsType.startsWith('nfs') || !mountPoint.startsWith(mountRoot + sep)) continue;
    const volume = mountPoint.slice(mountRoot.length + 1);
    const port = Number(options.get('port'));
    if (volume.includes(sep) || !Number.isInteger(port) || port <= 0) continue;
    const mountedFrom = options.get('addr') ?? source.split(':/')[0] ?? '';
    found.set(volume, { volume, path: join(mountRoot, volume), port, mountedFrom });
  }
  return [...found.values()];
}

/**
 * Reads the mount table of this process's mount name space.
 * @throws VolumeError `internal` when it cannot be read.
 */
export async function readMountTable(path = '/proc/self/mountinfo'): Promise<MountEntry[]> {
  try {
    return parseMountinfo(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new VolumeError('internal', `cannot read the mount table ${path}`, { cause });
  }
}
