import type { Store } from '../etcd/store.ts';
import { VolumeError } from '../lib/errors.ts';
import { vfileKeys } from './keys.ts';
import { checkOptions, isVdvs } from './options.ts';
import { parseRecord } from './read-volume.ts';
import { type VolumeSpec, volumeSpecSchema } from './types.ts';

/**
 * Grows a base volume while it is in use. May be asked twice for the same.
 * @returns whether its file system still has to follow, by itself.
 * @throws VolumeError `invalid` for a smaller size, `no_space`, `denied` by a quota.
 */
export type GrowBase = (baseVolume: string, size: string) => Promise<{ readonly growing: boolean }>;

/** Attempts to write the new size down while others write the spec. */
const mostAttempts = 10;

/**
 * Makes a volume larger, used or not; its server goes on and its users see the space. The disk comes first: where this stops
 * half way, the same again completes it.
 * @param size as users write it, for example `20gb`.
 * @throws VolumeError `not_found`, `busy` while it is being removed, `invalid`, and what growing the base volume throws.
 */
export async function resizeVolume(
  { store, growBase }: { store: Store; growBase: GrowBase },
  name: string,
  size: string,
): Promise<{ readonly growing: boolean }> {
  const read = async () => {
    const found = parseRecord(volumeSpecSchema, await store.get(vfileKeys.spec(name)));
    if (!found) throw new VolumeError('not_found', `no such volume: ${name}`);
    if (found.value.deleting) throw new VolumeError('busy', `volume ${name} is being removed`);
    return found;
  };
  const { value: spec } = await read();
  if (!isVdvs(spec.baseDriver)) {
    throw new VolumeError(
      'invalid',
      `volume ${name} is on the driver ${spec.baseDriver}, whose volumes cannot be grown from here`,
    );
  }
  checkOptions({ size }, spec.baseDriver);
  const outcome = await growBase(spec.baseVolume, size);
  for (let attempt = 1; attempt <= mostAttempts; attempt += 1) {
    const { value, modRevision } = await read();
    // A clone's size is its source's: there is none to change among its options.
    if (value.options.size === size || value.options['clone-from'] !== undefined) return outcome;
    const changed: VolumeSpec = { ...value, options: { ...value.options, size } };
    const key = vfileKeys.spec(name);
    const { done } = await store.txn([{ key, modRevision }], [{ put: key, value: changed }]);
    if (done) return outcome;
  }
  throw new VolumeError('conflict', `volume ${name}: others keep changing it; try again`);
}
