import { z } from 'zod';
import type { Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import { vfileKeys } from './keys.ts';
import { baseVolumeOf, checkVolumeName } from './names.ts';
import { checkOptions, type GivenOptions, optionDifferences } from './options.ts';
import { freePort } from './ports.ts';
import { parseRecord } from './read-volume.ts';
import type { VfileSettings } from './settings.ts';
import { type VolumeSpec, volumeSpecSchema } from './types.ts';

/** What a create needs. */
export interface CreateParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly settings: Pick<VfileSettings, 'baseDriver' | 'nfsPorts'>;
  /** Node ID of the creator. */
  readonly node: string;
}

/** `/vfile/ports/<port>`. */
export const portRecordSchema = z.object({ v: z.literal(1), volume: z.string() });

/** Others may take the port or the name at the same moment; so many of them in a row are no accident any more. */
const mostAttempts = 50;

async function takenPorts(store: Store): Promise<Set<number>> {
  const { entries } = await store.list(vfileKeys.ports);
  return new Set(entries.map((entry) => Number(entry.key.slice(vfileKeys.ports.length))));
}

function agree(existing: VolumeSpec, options: GivenOptions): VolumeSpec {
  if (existing.deleting) {
    throw new VolumeError('busy', `volume ${existing.name} is being removed; try again when it is gone`);
  }
  const differences = optionDifferences(existing.options, options, existing.baseDriver);
  if (differences.length > 0) {
    throw new VolumeError(
      'exists',
      `volume ${existing.name} exists with other options: ${differences.join('; ')}`,
    );
  }
  return existing;
}

/**
 * Writes what the user asked for; the manager does the rest. Name and port are taken in one transaction, so nothing is
 * half made whenever this process or the store stops. Idempotent: the same again, or less, is success.
 * @returns the volume's spec, new or existing, and whether this call made it.
 * @throws VolumeError `invalid` for a bad name or option, `exists` naming the differences, `busy` while a volume of that
 *   name is being removed, `no_space` when no port is left, and what the store throws.
 */
export async function createVolume(
  parts: CreateParts,
  name: string,
  options: GivenOptions,
): Promise<{ spec: VolumeSpec; created: boolean }> {
  const { store, clock, settings, node } = parts;
  checkVolumeName(name);
  let taken: ReadonlySet<number> = new Set();
  let inDoubt: VolumeSpec | undefined;
  for (let attempt = 1; attempt <= mostAttempts; attempt += 1) {
    const entry = await store.get(vfileKeys.spec(name));
    if (entry) {
      const existing = parseRecord(volumeSpecSchema, entry);
      if (!existing) throw new VolumeError('internal', `${entry.key} does not have the expected form`);
      return {
        spec: agree(existing.value, options),
        created: existing.value.createdAt === inDoubt?.createdAt,
      };
    }
    checkOptions(options, settings.baseDriver);
    const port = freePort(name, settings.nfsPorts, taken);
    if (port === undefined) {
      const { first, count } = settings.nfsPorts;
      throw new VolumeError('no_space', `all ports from ${first} to ${first + count - 1} belong to volumes`);
    }
    const spec: VolumeSpec = {
      v: 1,
      name,
      options: { ...options },
      baseDriver: settings.baseDriver,
      baseVolume: baseVolumeOf(name),
      port,
      createdAt: new Date(clock.now()).toISOString(),
      createdBy: node,
    };
    const wanted = store.txn(
      [
        { key: vfileKeys.spec(name), is: 'absent' },
        { key: vfileKeys.port(port), is: 'absent' },
      ],
      [
        { put: vfileKeys.spec(name), value: spec },
        { put: vfileKeys.port(port), value: { v: 1, volume: name } },
      ],
    );
    const { done } = await wanted.catch((thrown: unknown) => {
      // Not known whether it was done: the next look tells, or fails because etcd is away.
      if (inDoubt || toVolumeError(thrown).code !== 'unavailable') throw thrown;
      inDoubt = spec;
      return { done: false };
    });
    if (done) return { spec, created: true };
    taken = await takenPorts(store);
  }
  throw new VolumeError(
    'conflict',
    `volume ${name}: others changed the records ${mostAttempts} times in a row`,
  );
}
