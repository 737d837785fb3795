/** One line of `/proc/self/mountinfo`; see proc(5). */
export interface MountEntry {
  readonly mountPoint: string;
  readonly fstype: string;
  /** Device or name of what is mounted. */
  readonly source: string;
  /** Options of this mount and of the file system behind it. */
  readonly options: readonly string[];
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
    const mountPoint = before?.split(' ')[4];
    const mountOptions = before?.split(' ')[5];
    const [fstype, source, superOptions] = after?.split(' ') ?? [];
    if (!mountPoint || !mountOptions || !fstype || !source || !superOptions) return [];
    return [
      {
        mountPoint: decodeOctal(mountPoint),
        fstype,
        source: decodeOctal(source),
        options: [...mountOptions.split(','), ...superOptions.split(',')],
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

/** Source of placeholders in the kernel's table; see `placeholder.ts`. */
export const placeholderSource = 'vdvs-not-attached';

/** Whether this stands where a disk is to come, and is none. */
export function isPlaceholder({ fstype, source }: MountEntry): boolean {
  return fstype === 'tmpfs' && source === placeholderSource;
}

/** The disk at a mount point, if what lies on top there is one. */
export function diskAt(entries: readonly MountEntry[], mountpoint: string): MountEntry | undefined {
  const top = mountAt(entries, mountpoint);
  return top && !isPlaceholder(top) ? top : undefined;
}

/** Mounts strictly below a folder. */
export function mountsBelow(entries: readonly MountEntry[], folder: string): MountEntry[] {
  return entries.filter(({ mountPoint }) => mountPoint.startsWith(`${folder}/`));
}

/** As `mountsBelow`, without placeholders: nothing there can write to a disk. */
export function disksBelow(entries: readonly MountEntry[], folder: string): MountEntry[] {
  return mountsBelow(entries, folder).filter((entry) => !isPlaceholder(entry));
}
