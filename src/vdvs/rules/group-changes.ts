import { VolumeError } from '../../lib/errors.ts';
import { allDatastores, defaultGroup, type Group, hostDatastoreName, type Rules } from './types.ts';

const groupNameForm = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,63}$/;

/** @throws VolumeError `not_found` naming the groups that there are. */
export function findGroup(rules: Rules, name: string): Group {
  const group = rules.groups.find((one) => one.name === name);
  if (group) return group;
  const there = rules.groups.map((one) => one.name).join(', ') || 'none';
  throw new VolumeError('not_found', `vmgroup ${name} does not exist; there are: ${there}`);
}

function requireNewName(rules: Rules, name: string): void {
  if (!groupNameForm.test(name)) {
    throw new VolumeError(
      'invalid',
      `vmgroup name "${name}" is not possible: up to 64 letters, digits, "_", ".", "-"; a letter, digit or "_" first`,
    );
  }
  if (rules.groups.some((one) => one.name === name)) {
    throw new VolumeError('exists', `vmgroup ${name} exists already`);
  }
}

/** @throws VolumeError `invalid` for a datastore that neither exists nor is a special name. */
export function requireDatastore(
  datastore: string,
  known: readonly string[],
  special: readonly string[] = [hostDatastoreName, allDatastores],
): void {
  if (known.includes(datastore) || special.includes(datastore)) return;
  throw new VolumeError(
    'invalid',
    `datastore "${datastore}" is unknown; there are: ${[...known, ...special].join(', ')}`,
  );
}

function withGroup(rules: Rules, name: string, change: (group: Group) => Group): Rules {
  const found = findGroup(rules, name);
  return { ...rules, groups: rules.groups.map((one) => (one === found ? change(one) : one)) };
}

/** Replaces one group's record. @throws VolumeError `not_found`. */
export const changeGroup = withGroup;

/** What a new group is made of. */
export interface NewGroup {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly defaultDatastore: string;
}

/** A group that may do everything on its default datastore; under the name `_DEFAULT`, the one that had been removed. Pure. */
export function createGroup(rules: Rules, asked: NewGroup, known: readonly string[]): Rules {
  requireNewName(rules, asked.name);
  requireDatastore(asked.defaultDatastore, known, [hostDatastoreName]);
  const same = rules.groups.find((one) => one.id === asked.id);
  if (same) throw new VolumeError('exists', `vmgroup ${same.name} has the ID ${asked.id} already`);
  const group: Group = {
    ...asked,
    id: asked.name === defaultGroup ? defaultGroup : asked.id,
    access: { [asked.defaultDatastore]: { allowCreate: true } },
  };
  return { ...rules, groups: [...rules.groups, group] };
}

/** What of a group changes. */
export interface GroupUpdate {
  readonly newName?: string | undefined;
  readonly description?: string | undefined;
  readonly defaultDatastore?: string | undefined;
}

/** Its volumes stay its volumes under any name. Pure. */
export function updateGroup(
  rules: Rules,
  name: string,
  update: GroupUpdate,
  known: readonly string[],
): Rules {
  const { newName, description, defaultDatastore } = update;
  if (newName === undefined && description === undefined && defaultDatastore === undefined) {
    throw new VolumeError('invalid', `vmgroup ${name}: nothing to change`);
  }
  findGroup(rules, name);
  if (newName !== undefined) {
    if (name === defaultGroup) throw new VolumeError('invalid', `${defaultGroup} cannot be renamed`);
    requireNewName(rules, newName);
  }
  if (defaultDatastore !== undefined) requireDatastore(defaultDatastore, known, [hostDatastoreName]);
  return withGroup(rules, name, (group) => ({
    ...group,
    name: newName ?? group.name,
    description: description ?? group.description,
    defaultDatastore: defaultDatastore ?? group.defaultDatastore,
    access:
      defaultDatastore === undefined
        ? group.access
        : { [defaultDatastore]: { allowCreate: true }, ...group.access },
  }));
}

/** Its hosts are in `_DEFAULT` then; without that one they, and whoever was in it, are locked out. Pure. */
export function removeGroup(rules: Rules, name: string): Rules {
  const { id } = findGroup(rules, name);
  return {
    ...rules,
    groups: rules.groups.filter((one) => one.id !== id),
    members: Object.fromEntries(Object.entries(rules.members).filter(([, member]) => member.group !== id)),
  };
}

/** A node as people know it. */
export interface NamedNode {
  readonly id: string;
  readonly host: string;
}

/** How the hosts of a group change. */
export type MemberChange = 'add' | 'rm' | 'replace';

/**
 * Puts hosts into a group or takes them out. Pure.
 * @throws VolumeError `exists` for a host of another group, `not_found` for one to take out that is not in it, `invalid` for
 *   `_DEFAULT`, in which are just those that are in no other.
 */
export function changeMembers(
  rules: Rules,
  name: string,
  change: MemberChange,
  nodes: readonly NamedNode[],
): Rules {
  const { id: group } = findGroup(rules, name);
  if (group === defaultGroup) {
    throw new VolumeError('invalid', `${defaultGroup} holds the hosts that are in no other vmgroup`);
  }
  if (nodes.length === 0 && change !== 'replace') throw new VolumeError('invalid', 'no hosts are named');
  const kept = Object.entries(rules.members).filter(
    ([node, member]) =>
      !(
        member.group === group &&
        (change === 'replace' || nodes.some((one) => one.id === node && change === 'rm'))
      ),
  );
  for (const { id, host } of nodes) {
    const now = rules.members[id]?.group;
    if (change === 'rm' && now !== group) {
      throw new VolumeError('not_found', `host ${host} is not in vmgroup ${name}`);
    }
    if (change !== 'rm' && now !== undefined && now !== group) {
      const other = rules.groups.find((one) => one.id === now)?.name ?? now;
      throw new VolumeError(
        'exists',
        `host ${host} is in vmgroup ${other}; a host is in one vmgroup at most`,
      );
    }
  }
  const added = change === 'rm' ? [] : nodes.map(({ id, host }) => [id, { group, host }] as const);
  return { ...rules, members: Object.fromEntries([...kept, ...added]) };
}

/** Of these nodes, those that are in another group after a change. Pure. */
export function movedNodes(before: Rules, after: Rules, nodes: readonly string[]): string[] {
  const groupIn = (rules: Rules, node: string) => {
    const id = rules.members[node]?.group ?? defaultGroup;
    return rules.groups.some((one) => one.id === id) ? id : undefined;
  };
  return nodes.filter((node) => groupIn(before, node) !== groupIn(after, node));
}
