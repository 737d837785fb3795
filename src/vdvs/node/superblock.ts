/** What the first bytes of a disk say about the file system on it. */
export interface Superblock {
  readonly fstype: 'ext4' | 'xfs' | 'other';
  /** Lower case with hyphens, '' when it has none. */
  readonly uuid: string;
  /**
   * Whether it may hold somebody's data: for ext4 that it was ever mounted; xfs does not tell, so that it was made to
   * its end.
   */
  readonly used: boolean;
  /** Whether nothing but its journal is needed after an unclean end: it has one, and the kernel has noted no error. */
  readonly sound: boolean;
}

/** Bytes to read from the beginning of a disk. */
export const superblockBytes = 4096;

const ext4 = {
  at: 1024,
  magic: 0xef53,
  magicAt: 0x38,
  mountTimeAt: 0x2c,
  mountCountAt: 0x34,
  stateAt: 0x3a,
  errorState: 2,
  compatibleAt: 0x5c,
  hasJournal: 4,
  uuidAt: 0x68,
} as const;
const xfs = { uuidAt: 32, inProgressAt: 126 } as const;

function uuidAt(bytes: Buffer, at: number): string {
  return bytes
    .subarray(at, at + 16)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Reads the beginning of a disk; `undefined` when it is blank. */
export function parseSuperblock(bytes: Buffer): Superblock | undefined {
  if (bytes.readUInt16LE(ext4.at + ext4.magicAt) === ext4.magic) {
    const used =
      bytes.readUInt32LE(ext4.at + ext4.mountTimeAt) > 0 ||
      bytes.readUInt16LE(ext4.at + ext4.mountCountAt) > 0;
    const sound =
      (bytes.readUInt16LE(ext4.at + ext4.stateAt) & ext4.errorState) === 0 &&
      (bytes.readUInt32LE(ext4.at + ext4.compatibleAt) & ext4.hasJournal) !== 0;
    return { fstype: 'ext4', uuid: uuidAt(bytes, ext4.at + ext4.uuidAt), used, sound };
  }
  if (bytes.subarray(0, 4).toString('latin1') === 'XFSB') {
    const used = bytes.readUInt8(xfs.inProgressAt) === 0;
    return { fstype: 'xfs', uuid: uuidAt(bytes, xfs.uuidAt), used, sound: true };
  }
  return bytes.every((byte) => byte === 0)
    ? undefined
    : { fstype: 'other', uuid: '', used: true, sound: false };
}

/** What to do with the disk of a volume before its first use. */
export type FormatDecision =
  | { readonly do: 'make' | 'keep' }
  | { readonly do: 'refuse'; readonly why: string };

/**
 * Whether a volume that is not recorded as formatted needs its file system made. A half-made one carries the UUID that
 * was given beforehand and was never mounted: made again. One that was mounted is kept, whatever the record says. What
 * nobody here made is never touched.
 */
export function decideFormat(
  found: Superblock | undefined,
  wanted: { fstype: string; uuid: string },
): FormatDecision {
  if (!found) return { do: 'make' };
  if (found.uuid === wanted.uuid && found.fstype === wanted.fstype)
    return { do: found.used ? 'keep' : 'make' };
  const what = found.fstype === 'other' ? 'data' : `an ${found.fstype} file system (UUID ${found.uuid})`;
  return { do: 'refuse', why: `the disk holds ${what} that was not made for this volume; it was left alone` };
}
