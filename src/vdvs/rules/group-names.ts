import { VolumeError } from '../../lib/errors.ts';
import { baseVolumePrefix, groupPrefixForm } from '../names.ts';
import type { VolumeId } from '../types.ts';
import { defaultGroup } from './types.ts';

/**
 * Each group has a name space of its own: inside the service and in the datastore its volumes are named `<id>+<name>`, a form
 * that users cannot write. Volumes of `_DEFAULT` have their plain names, as they had before there were groups; so have the
 * volumes below vFile's, which a file server must be able to open on any node.
 */
export function internalName(group: string, name: string): string {
  return group === defaultGroup || name.startsWith(baseVolumePrefix) ? name : `${group}+${name}`;
}

/** The name as its users know it. */
export function plainName(name: string): string {
  return name.replace(groupPrefixForm, '');
}

/** Whose name space a name is in; `undefined` for a volume below one of vFile's, which is everybody's. */
export function groupOfName(name: string): string | undefined {
  if (name.startsWith(baseVolumePrefix)) return undefined;
  return groupPrefixForm.exec(name)?.[1] ?? defaultGroup;
}

/** @throws VolumeError `invalid` for a name that pretends to be in a name space. */
export function requirePlain({ datastore, name }: VolumeId): void {
  if (!name.includes('+')) return;
  throw new VolumeError('invalid', `volume name "${name}@${datastore}": "+" is not possible`);
}

/** A text for users without the marks of name spaces: messages that name volumes. */
export function concealGroups(text: string): string {
  return text.replace(/(?<![0-9a-zA-Z_])[0-9a-f]{8}\+(?=[a-zA-Z0-9_])/g, '');
}
