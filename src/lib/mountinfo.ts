import { readFile } from 'node:fs/promises';

/** One line of `/proc/self/mountinfo`; see proc(5). */
export interface MountEntry {
  /** What of the file system is mounted: a directory in it. */
  readonly root: string;
  readonly mountPoint: string;
  readonly fstype: string;
  /** Device or name of what is mounted. */
  readonly source: string;
  /** Options of this mount and of the file system behind it. */
  readonly options: readonly string[];
  /** How it passes on and receives mounts: `shared:1`, `master:2`. */
  readonly tags: readonly string[];
}

function decodeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Parses the file's text; lines of another form are left out. */
export function parseMountinfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const [, , , root, mountPoint, mountOptions, ...tags] = before?.split(' ') ?? [];
    const [fstype, source, superOptions] = after?.split(' ') ?? [];
    if (!root || !mountPoint || !mountOptions || !fstype || !source || !superOptions) return [];
    return [
      {
        root: decodeOctal(root),
        mountPoint: decodeOctal(mountPoint),
        fstype,
        source: decodeOctal(source),
        options: [...mountOptions.split(','), ...superOptions.split(',')],
        tags,
      },
    ];
  });
}

/** The mount that a path lies on: the longest mount point that holds it, of several on one place the newest. */
export function mountHolding(entries: readonly MountEntry[], path: string): MountEntry | undefined {
  let best: MountEntry | undefined;
  for (const entry of entries) {
    const { mountPoint } = entry;
    const holds = mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (holds && mountPoint.length >= (best?.mountPoint.length ?? 0)) best = entry;
  }
  return best;
}

/** What lies on top at a mount point; `undefined` when nothing is mounted there. */
export function mountAt(entries: readonly MountEntry[], mountpoint: string): MountEntry | undefined {
  const top = mountHolding(entries, mountpoint);
  return top?.mountPoint === mountpoint ? top : undefined;
}

/** The mounts of this process's mount name space. */
export async function ownMounts(): Promise<MountEntry[]> {
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
}
