import { readFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { VolumeError } from '../../lib/errors.ts';

/** One line of `/proc/self/mountinfo` (proc(5)), as far as this project needs it. */
export interface MountEntry {
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
  /** Options of the super block: for NFS `port=20490`, `addr=10.0.0.1` and so on. */
  readonly superOptions: ReadonlyMap<string, string>;
}

/** A vFile volume that is mounted on this node. */
export interface MountedVolume {
  readonly volume: string;
  readonly path: string;
  readonly port: number;
  /** Address given at mount time. The kernel shows it for ever, also after the transport was re-targeted. */
  readonly mountedFrom: string;
}

/** The kernel writes blank, tab, newline and backslash as octal escapes. */
function decodeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function parseOptions(text: string): Map<string, string> {
  return new Map(
    text.split(',').map((option) => {
      const equals = option.indexOf('=');
      return equals < 0 ? [option, ''] : [option.slice(0, equals), option.slice(equals + 1)];
    }),
  );
}

/** Parses `/proc/self/mountinfo`; lines of another form are left out. */
export function parseMountinfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    // "36 35 98:0 /root /mnt rw,noatime shared:1 - nfs4 host:/vol rw,port=20490": optional fields end at the hyphen.
    const [left, right] = line.split(' - ', 2);
    const mountPoint = left?.split(' ')[4];
    const [fsType, source, options] = right?.split(' ') ?? [];
    if (!mountPoint || !fsType || source === undefined) return [];
    return [
      {
        mountPoint: decodeOctal(mountPoint),
        fsType,
        source: decodeOctal(source),
        superOptions: parseOptions(options ?? ''),
      },
    ];
  });
}

/** The vFile volumes among the mounts: NFS, directly below `mountRoot`, with a port. Stacked mounts count once. */
export function mountedVolumes(entries: readonly MountEntry[], mountRoot: string): MountedVolume[] {
  const found = new Map<string, MountedVolume>();
  for (const { mountPoint, fsType, source, superOptions } of entries) {
    if (!fsType.startsWith('nfs') || !mountPoint.startsWith(mountRoot + sep)) continue;
    const volume = mountPoint.slice(mountRoot.length + 1);
    const port = Number(superOptions.get('port'));
    if (volume.includes(sep) || !Number.isInteger(port) || port <= 0) continue;
    const mountedFrom = superOptions.get('addr') ?? source.split(':/')[0] ?? '';
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
