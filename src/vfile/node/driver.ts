import type { Mirror } from '../../etcd/mirror.ts';
import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { DriverVolume, VolumeDriver } from '../../plugin/volume-driver.ts';
import { vfileKeys } from '../keys.ts';
import { parseRecord } from '../read-volume.ts';
import { type VolumeSpec, volumeSpecSchema } from '../types.ts';
import { inspectStatus } from './inspect-status.ts';
import type { NodeMounts } from './node-mounts.ts';
import type { Retargeter } from './retarget.ts';
import type { VolumeLifecycle } from './volume-lifecycle.ts';
import type { VolumeView } from './volume-view.ts';

/** What the driver is made of. */
export interface VfileDriverParts {
  readonly store: Store;
  readonly mirror: Mirror;
  readonly view: VolumeView;
  readonly lifecycle: VolumeLifecycle;
  readonly mounts: NodeMounts;
  readonly retargeter: Pick<Retargeter, 'problem'>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The volumes of one node. Reading calls answer from the mirror, so from memory, and go on doing so while etcd is out of
 * reach; only that a volume does *not* exist is never said without asking etcd.
 */
export function createVfileDriver(parts: VfileDriverParts): VolumeDriver {
  const { store, mirror, view, lifecycle, mounts, retargeter, clock, log } = parts;

  const shown = (spec: VolumeSpec): DriverVolume => ({
    name: spec.name,
    mountpoint: mounts.path(spec.name),
    createdAt: spec.createdAt,
  });

  const inspected = (spec: VolumeSpec): DriverVolume => ({
    ...shown(spec),
    status: inspectStatus({
      spec,
      status: view.status(spec.name),
      server: view.server(spec.name),
      mounts: view.mounts(spec.name),
      stale: mirror.synced ? undefined : (mirror.problem ?? 'etcd is out of reach'),
      localProblem: retargeter.problem(spec.name),
    }),
  });

  /** One log line for each change that a user asked for, with how long it took. */
  const logged = async <T>(what: string, volume: string, work: () => Promise<T>): Promise<T> => {
    const started = clock.monotonic();
    try {
      const result = await work();
      log.info(what, { volume, ms: Math.round(clock.monotonic() - started) });
      return result;
    } catch (thrown) {
      log.warn(`${what}: failed`, {
        volume,
        ms: Math.round(clock.monotonic() - started),
        error: toVolumeError(thrown).message,
      });
      throw thrown;
    }
  };

  return {
    create: (name, options) => logged('create', name, () => lifecycle.create(name, options)),
    remove: (name) => logged('remove', name, () => lifecycle.remove(name)),
    mount: (name, id) => logged('mount', name, () => mounts.mount(name, id)),
    unmount: (name, id) => logged('unmount', name, () => mounts.unmount(name, id)),
    path: async (name) => mounts.path(name),

    async get(name) {
      const known = view.spec(name);
      if (known) return inspected(known);
      if (!mirror.synced) {
        throw new VolumeError(
          'unavailable',
          `whether volume ${name} exists is not known: ${mirror.problem ?? 'etcd is out of reach'}`,
        );
      }
      // The mirror is a little behind: another node may have created the volume this very moment.
      const entry = await store.get(vfileKeys.spec(name));
      if (!entry) return undefined;
      const spec = parseRecord(volumeSpecSchema, entry);
      if (!spec) throw new VolumeError('internal', `${entry.key} does not have the expected form`);
      return inspected(spec.value);
    },

    async list() {
      if (!mirror.synced && mirror.entries.size === 0) {
        throw new VolumeError(
          'unavailable',
          `volumes are not known: ${mirror.problem ?? 'etcd is out of reach'}`,
        );
      }
      return view.specs().map(shown);
    },
  };
}
