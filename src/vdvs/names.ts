import { VolumeError } from '../lib/errors.ts';
import type { VolumeId } from './types.ts';

/** Longest name a user can give. */
export const maxNameLength = 100;

/** With this prefix vFile names the block volume behind a shared volume. */
export const baseVolumePrefix = '_vF_';

/** What the service puts before the names of a vmgroup's volumes; users cannot write it (see `rules/group-names.ts`). */
export const groupPrefixForm = /^([0-9a-f]{8})\+/;

const nameForm = /^[a-zA-Z0-9_][a-zA-Z0-9_.@-]*$/;
const datastoreForm = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const snapshotForm = /-\d{6}$/;
const snapshotSuffixLength = 7;

function refuse(text: string, why: string): never {
  throw new VolumeError('invalid', `volume name "${text}": ${why}`);
}

/** A name, and whether it is that of a snapshot. */
export interface DiskName {
  readonly id: VolumeId;
  readonly snapshot: boolean;
}

/**
 * Splits `name@datastore` at the last `@`; the name may be a snapshot's.
 * @param defaultDatastore where a name without datastore belongs.
 * @throws VolumeError `invalid` naming the rule that is broken.
 */
export function parseDiskName(text: string, defaultDatastore: string): DiskName {
  const at = text.lastIndexOf('@');
  const whole = at < 0 ? text : text.slice(0, at);
  const name = whole.replace(groupPrefixForm, '');
  const datastore = at < 0 ? defaultDatastore : text.slice(at + 1);
  // Names of shared volumes have the same limit, and what can be created must be mountable: so the prefix is extra.
  const snapshot = snapshotForm.test(name);
  const limit =
    maxNameLength +
    (name.startsWith(baseVolumePrefix) ? baseVolumePrefix.length : 0) +
    (snapshot ? snapshotSuffixLength : 0);
  if (name === '') refuse(text, 'the name is empty');
  if (name.length > limit) refuse(text, `${name.length} characters, at most ${limit} are possible`);
  if (/[/\\]/.test(name)) refuse(text, '"/" and "\\" are not possible');
  if (!nameForm.test(name)) {
    refuse(
      text,
      'only letters, digits, "_", ".", "-" and "@" are possible, and the first one is a letter, digit or "_"',
    );
  }
  if (!datastoreForm.test(datastore)) refuse(text, `"${datastore}" is no name of a datastore`);
  return { id: { datastore, name: whole }, snapshot };
}

/**
 * The name of a volume: as `parseDiskName`, and none of a snapshot.
 * @throws VolumeError `invalid` naming the rule that is broken.
 */
export function parseVolumeName(text: string, defaultDatastore: string): VolumeId {
  const { id, snapshot } = parseDiskName(text, defaultDatastore);
  if (snapshot) refuse(text, 'names that end in "-" and six digits are reserved for snapshots');
  return id;
}

/** Newest number that a snapshot can have: six digits. */
export const maxSnapshotNumber = 999_999;

/** Name of a volume's snapshot with this number. */
export function snapshotId(volume: VolumeId, number: number): VolumeId {
  return { datastore: volume.datastore, name: `${volume.name}-${String(number).padStart(6, '0')}` };
}

/** The volume that a snapshot is of, by the snapshot's name, and its number; `undefined` for any other name. */
export function snapshotOf(id: VolumeId): { volume: VolumeId; number: number } | undefined {
  if (!snapshotForm.test(id.name)) return undefined;
  const cut = id.name.length - snapshotSuffixLength;
  return {
    volume: { datastore: id.datastore, name: id.name.slice(0, cut) },
    number: Number(id.name.slice(cut + 1)),
  };
}

/** The full name: `name@datastore`. */
export function renderVolumeName(id: VolumeId): string {
  return `${id.name}@${id.datastore}`;
}

/**
 * Options with the full name of the source of a clone, so that two ways to write one name are the same option.
 * @throws VolumeError `invalid` for a name that no volume or snapshot can have.
 */
export function withFullSource(
  raw: Readonly<Record<string, string>>,
  defaultDatastore: string,
): Readonly<Record<string, string>> {
  const source = raw['clone-from'];
  if (source === undefined) return raw;
  return { ...raw, 'clone-from': renderVolumeName(parseDiskName(source, defaultDatastore).id) };
}
