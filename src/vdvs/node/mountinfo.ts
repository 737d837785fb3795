import { type MountEntry, mountAt } from '../../lib/mountinfo.ts';

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
