import type { Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import { vfileKeys } from './keys.ts';
import { type Read, readVolume, type VolumeRecords } from './read-volume.ts';
import type { MountRecord, VolumeSpec } from './types.ts';

/** What a removal needs. */
export interface RemoveParts {
  readonly store: Store;
  readonly clock: Clock;
}

const mostAttempts = 20;

async function read(store: Store, name: string): Promise<VolumeRecords> {
  return readVolume(name, (await store.list(vfileKeys.volume(name))).entries);
}

/** Who uses a volume, for humans: each host and its mount IDs. */
export function describeUsers(mounts: readonly Read<MountRecord>[]): string {
  return mounts
    .map(({ value }) => `${value.host} (mount ${Object.keys(value.ids).join(', ') || 'unknown'})`)
    .sort()
    .join('; ');
}

/**
 * Takes the mark off again because a mount was there first. Compares the spec and that one of the mounts is still there:
 * so it can never take off the mark of a removal that has found no mount and told its caller so.
 * @param guard more that must hold; the leader's own condition, for the manager.
 * @returns false when one of that is not so any more; look again then.
 */
export async function clearDeleting(
  store: Store,
  spec: Read<VolumeSpec>,
  mount: Read<MountRecord>,
  guard: Parameters<Store['txn']>[0] = [],
): Promise<boolean> {
  const { deleting: _deleting, ...kept } = spec.value;
  const key = vfileKeys.spec(spec.value.name);
  const { done } = await store.txn(
    [
      ...guard,
      { key, modRevision: spec.modRevision },
      { key: vfileKeys.mount(spec.value.name, mount.value.node), is: 'present' },
    ],
    [{ put: key, value: kept }],
  );
  return done;
}

/**
 * Marks a volume as being removed, unless somebody uses it. First the mark, comparing the spec's revision, then a look
 * for mounts: a mount compares the spec too and refuses a marked one, so neither can win by accident. The manager removes
 * server, base volume and records then; the volume is gone when its spec is.
 *
 * When this process stops between mark and look, the manager finishes: with mounts it takes the mark off, without it
 * removes the volume.
 * @throws VolumeError `not_found`; `busy` naming the hosts and mount IDs; and what the store throws.
 */
export async function removeVolume({ store, clock }: RemoveParts, name: string): Promise<void> {
  let marked: 'no' | 'in doubt' | 'yes' = 'no';
  let first: VolumeSpec | undefined;
  for (let attempt = 1; attempt <= mostAttempts; attempt += 1) {
    const { spec, mounts, problems } = await read(store, name);
    if (problems.length > 0) throw new VolumeError('internal', problems.join('; '));
    first ??= spec?.value;
    // Another volume of the name, made after the first was gone, is not the one to remove.
    if (!spec || spec.value.createdAt !== first?.createdAt || spec.value.createdBy !== first.createdBy) {
      // The mark was written, after all perhaps, and the manager has done the rest before this look.
      if (marked !== 'no') return;
      throw new VolumeError('not_found', `no such volume: ${name}`);
    }
    const [mount] = mounts;
    if (mount) {
      if (spec.value.deleting && !(await clearDeleting(store, spec, mount))) continue;
      throw new VolumeError('busy', `volume ${name} is in use by ${describeUsers(mounts)}`);
    }
    if (spec.value.deleting) return;
    const deleting = new Date(clock.now()).toISOString();
    try {
      const { done } = await store.txn(
        [{ key: vfileKeys.spec(name), modRevision: spec.modRevision }],
        [{ put: vfileKeys.spec(name), value: { ...spec.value, deleting } }],
      );
      if (done) marked = 'yes';
    } catch (thrown) {
      // Not known whether it was done: the next look tells, or fails because etcd is away.
      if (marked === 'in doubt' || toVolumeError(thrown).code !== 'unavailable') throw thrown;
      marked = 'in doubt';
    }
    // Look again whatever came of it: only a mark without mounts, read at one revision, is a removal.
  }
  throw new VolumeError('conflict', `volume ${name}: its records changed ${mostAttempts} times in a row`);
}
