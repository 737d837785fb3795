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

function refuse(text: string, why: string): never {
  throw new VolumeError('invalid', `volume name "${text}": ${why}`);
}

/**
 * Splits `name@datastore` at the last `@`.
 * @param defaultDatastore where a name without datastore belongs.
 * @throws VolumeError `invalid` naming the rule that is broken.
 */
export function parseVolumeName(text: string, defaultDatastore: string): VolumeId {
  const at = text.lastIndexOf('@');
  const whole = at < 0 ? text : text.slice(0, at);
  const name = whole.replace(groupPrefixForm, '');
  const datastore = at < 0 ? defaultDatastore : text.slice(at + 1);
  // Names of shared volumes have the same limit, and what can be created must be mountable: so the prefix is extra.
  const limit = name.startsWith(baseVolumePrefix) ? maxNameLength + baseVolumePrefix.length : maxNameLength;
  if (name === '') refuse(text, 'the name is empty');
  if (name.length > limit) refuse(text, `${name.length} characters, at most ${limit} are possible`);
  if (/[/\\]/.test(name)) refuse(text, '"/" and "\\" are not possible');
  if (!nameForm.test(name)) {
    refuse(
      text,
      'only letters, digits, "_", ".", "-" and "@" are possible, and the first one is a letter, digit or "_"',
    );
  }
  if (snapshotForm.test(name))
    refuse(text, 'names that end in "-" and six digits are reserved for snapshots');
  if (!datastoreForm.test(datastore)) refuse(text, `"${datastore}" is no name of a datastore`);
  return { datastore, name: whole };
}

/** The full name: `name@datastore`. */
export function renderVolumeName(id: VolumeId): string {
  return `${id.name}@${id.datastore}`;
}
