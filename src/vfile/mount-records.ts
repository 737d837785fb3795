import type { Store } from '../etcd/store.ts';
import { VolumeError } from '../lib/errors.ts';
import { vfileKeys } from './keys.ts';
import { parseRecord } from './read-volume.ts';
import { type MountRecord, type VolumeSpec, volumeSpecSchema } from './types.ts';

const mostAttempts = 20;

/**
 * Writes which mount IDs of one node use a volume; the record replaces the node's last one, so writing it again does no
 * harm and a node whose write had an unknown outcome just writes again. Only that node writes it.
 *
 * The transaction compares the spec it has read: a removal changes the spec first and looks for mounts then, so either
 * it sees this record or this call sees the removal.
 * @returns the volume's spec as of the write.
 * @throws VolumeError `not_found` when there is no such volume, `busy` while it is being removed, and what the store throws.
 */
export async function recordMount(
  { store }: { readonly store: Store },
  volume: string,
  record: MountRecord,
): Promise<VolumeSpec> {
  for (let attempt = 1; attempt <= mostAttempts; attempt += 1) {
    const entry = await store.get(vfileKeys.spec(volume));
    if (!entry) throw new VolumeError('not_found', `no such volume: ${volume}`);
    const spec = parseRecord(volumeSpecSchema, entry);
    if (!spec) throw new VolumeError('internal', `${entry.key} does not have the expected form`);
    if (spec.value.deleting) {
      throw new VolumeError('busy', `volume ${volume} is being removed (since ${spec.value.deleting})`);
    }
    const { done } = await store.txn(
      [{ key: entry.key, modRevision: spec.modRevision }],
      [{ put: vfileKeys.mount(volume, record.node), value: record }],
    );
    if (done) return spec.value;
  }
  throw new VolumeError('conflict', `volume ${volume}: its spec changed ${mostAttempts} times in a row`);
}

/** Removes one node's record: it uses the volume no more. Success also when there is none. */
export async function removeMount(
  { store }: { readonly store: Store },
  volume: string,
  node: string,
): Promise<void> {
  await store.txn([], [{ delete: vfileKeys.mount(volume, node) }]);
}
