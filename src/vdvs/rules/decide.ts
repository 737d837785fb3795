import { VolumeError } from '../../lib/errors.ts';
import { renderSize } from '../sizes.ts';
import type { VolumeId } from '../types.ts';
import { plainName } from './group-names.ts';
import {
  type Access,
  allDatastores,
  defaultGroup,
  type Group,
  hostDatastoreName,
  type Rules,
} from './types.ts';

/** The group that a node is in; `undefined` when it is in none and `_DEFAULT` was removed. Pure. */
export function groupOfNode(rules: Rules, node: string): Group | undefined {
  const id = rules.members[node]?.group ?? defaultGroup;
  return rules.groups.find((group) => group.id === id);
}

/** As `groupOfNode`. @throws VolumeError `denied` for a node that is locked out. */
export function requireGroup(rules: Rules, node: string): Group {
  const group = groupOfNode(rules, node);
  if (group) return group;
  throw new VolumeError(
    'denied',
    `No access privilege exists: this host is in no vmgroup, and ${defaultGroup} was removed`,
  );
}

/** The entry that counts for a datastore: its own, that of the host's datastore, that of all others. Pure. */
export function accessOn(group: Group, datastore: string, hostDatastore: string): Access | undefined {
  const entries = new Map(Object.entries(group.access));
  const hosts = datastore === hostDatastore ? entries.get(hostDatastoreName) : undefined;
  return entries.get(datastore) ?? hosts ?? entries.get(allDatastores);
}

/** @throws VolumeError `denied` when the group has nothing to do with the datastore. */
export function requireAccess(group: Group, datastore: string, hostDatastore: string): Access {
  const access = accessOn(group, datastore, hostDatastore);
  if (access) return access;
  throw new VolumeError(
    'denied',
    `No access privilege exists for vmgroup ${group.name} on datastore ${datastore}`,
  );
}

/** @throws VolumeError `denied` when the group may neither create nor remove there. */
export function requireCreate(group: Group, id: VolumeId, hostDatastore: string, what: string): Access {
  const access = requireAccess(group, id.datastore, hostDatastore);
  if (access.allowCreate) return access;
  throw new VolumeError(
    'denied',
    `No ${what} privilege exists for vmgroup ${group.name} on datastore ${id.datastore}`,
  );
}

/** A disk that comes to be (`fromBytes` 0) or changes its size. */
export interface SizeWish {
  readonly id: VolumeId;
  readonly fromBytes: number;
  readonly toBytes: number;
  /** Storage policy that a new volume asks for. */
  readonly policy?: string | undefined;
}

/**
 * The limits of a growth besides the total. Pure.
 * @returns the total that may not be exceeded on this datastore, in bytes; `undefined` without one.
 * @throws VolumeError `denied` naming the limit, `invalid` for an unknown policy.
 */
export function decideSize(
  rules: Rules,
  group: Group,
  wish: SizeWish,
  hostDatastore: string,
): number | undefined {
  if (wish.toBytes <= wish.fromBytes) return undefined;
  if (wish.policy !== undefined && !Object.hasOwn(rules.policies, wish.policy)) {
    const there = Object.keys(rules.policies).join(', ') || 'none';
    throw new VolumeError('invalid', `storage policy "${wish.policy}" is unknown; there are: ${there}`);
  }
  const access = requireCreate(group, wish.id, hostDatastore, 'create');
  const { maxSizeBytes: most } = access;
  if (most !== undefined && wish.toBytes > most) {
    throw new VolumeError(
      'denied',
      `volume ${plainName(wish.id.name)}@${wish.id.datastore}: Volume size exceeds the max volume size limit: ${renderSize(wish.toBytes)} of at most ${renderSize(most)} for vmgroup ${group.name}`,
    );
  }
  return access.totalSizeBytes;
}

/**
 * Whether a total holds. Pure.
 * @param others bytes of all other disks that count for the group on the datastore.
 * @throws VolumeError `no_space` when it does not.
 */
export function decideTotal(group: Group, wish: SizeWish, others: number, total: number): void {
  if (others + wish.toBytes <= total) return;
  throw new VolumeError(
    'no_space',
    `volume ${plainName(wish.id.name)}@${wish.id.datastore}: The total volume size exceeds the usage quota: ${renderSize(others)} in use and ${renderSize(wish.toBytes)} asked for, of ${renderSize(total)} for vmgroup ${group.name} on datastore ${wish.id.datastore}`,
  );
}
