import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { FailurePoint } from '../../lib/failure-point.ts';
import type { KeyedQueue } from '../../lib/keyed-queue.ts';
import type { Log } from '../../lib/log.ts';
import type { DriverVolume, VolumeDriver } from '../../plugin/volume-driver.ts';
import type { VolumeView } from '../api.ts';
import { baseVolumePrefix, parseVolumeName, renderVolumeName, withFullSource } from '../names.ts';
import { parseBlockOptions, type RawOptions } from '../options.ts';
import type { ServiceClient } from '../service-client.ts';
import type { VolumeId } from '../types.ts';
import type { BlockVolumes } from './block-volumes.ts';
import type { DefaultDatastore } from './default-datastore.ts';
import type { Deferred } from './deferred.ts';
import type { EndUse } from './end-use.ts';
import { inspectStatus } from './inspect-status.ts';
import { addUse, endUseOf, isLive, type MountTable, type VolumeUse } from './mount-table.ts';
import type { Placeholders } from './placeholder.ts';

/** ms between two attempts to learn what a volume is while no manager answers. */
const lookUpMs = 200;

/** ms for which it is remembered how a volume attaches: the engine asks for a volume just before it mounts it. */
const kindMs = 30_000;

/** ms after which a mount is no use any more: the protocol has answered in its place (see `callDeadlines`). */
const mountAnswerMs = 114_000;

/** What the driver needs. */
export interface VdvsDriverParts {
  readonly client: ServiceClient;
  readonly volumes: BlockVolumes;
  readonly table: MountTable;
  readonly placeholders: Placeholders;
  readonly deferred: Deferred;
  readonly endUse: EndUse;
  /** Shared with the reconciliation: one at a time for each volume. */
  readonly queue: KeyedQueue;
  /** Aborted when the lease is lost; a new one each time. */
  readonly leaseSignal: () => AbortSignal;
  readonly defaultDatastore: DefaultDatastore;
  /** Of volumes below vFile's: the same for all nodes, in whatever vmgroup they are, because any may have to serve them. */
  readonly configuredDatastore: string;
  /** ms that a mount waits for another host to let go of the volume. */
  readonly attachMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly failAt?: FailurePoint;
}

/** Block volumes behind Docker's protocol. */
export function createVdvsDriver(parts: VdvsDriverParts): VolumeDriver {
  const { client, volumes, table, placeholders, deferred, endUse, queue, clock, log } = parts;
  const known: { list: VolumeView[] | undefined; datastore: string } = { list: undefined, datastore: '' };
  const kinds = new Map<string, { readonly deferred: boolean; readonly at: number }>();

  const parse = async (name: string) => {
    if (name.includes('@')) return parseVolumeName(name, '');
    // What nobody can have is refused before anybody is asked.
    parseVolumeName(name, 'any');
    const shared = name.startsWith(baseVolumePrefix);
    return parseVolumeName(name, shared ? parts.configuredDatastore : await parts.defaultDatastore.current());
  };
  const fullSource = async (options: RawOptions) => {
    const from = options['clone-from'];
    if (from === undefined) return options;
    const shared = from.startsWith(baseVolumePrefix);
    return withFullSource(
      options,
      shared ? parts.configuredDatastore : await parts.defaultDatastore.current(),
    );
  };
  /** What was mounted under a name, also when names without datastore mean another one since. */
  const mountedAs = (name: string, mountId: string) =>
    table
      .uses()
      .find((use) => [use.name, renderVolumeName(use)].includes(name) && Object.hasOwn(use.ids, mountId));
  const serial = <T>(id: VolumeId, work: () => Promise<T>) => queue.run(renderVolumeName(id), work);

  const remember = (view: VolumeView | undefined): boolean => {
    if (!view) return false;
    const now = clock.monotonic();
    for (const [name, { at }] of kinds) if (now - at > kindMs) kinds.delete(name);
    const isDeferred = view.record.options.attach === 'deferred';
    kinds.set(renderVolumeName(view.record), { deferred: isDeferred, at: now });
    return isDeferred;
  };

  /** Whether the disk is to follow the mount; the service's word is waited for as long as the disk itself would be. */
  const isDeferred = async (id: VolumeId, until: number): Promise<boolean> => {
    const kind = kinds.get(renderVolumeName(id));
    if (kind && clock.monotonic() - kind.at <= kindMs) return kind.deferred;
    for (;;) {
      try {
        return remember(await client.get(id));
      } catch (thrown) {
        if (toVolumeError(thrown).code !== 'unavailable' || clock.monotonic() >= until) throw thrown;
        await clock.sleep(lookUpMs);
      }
    }
  };

  /** The disk, or the placeholder of one that is waited for as soon as it has users. */
  const begin = async (id: VolumeId): Promise<VolumeUse> => {
    const until = clock.monotonic() + parts.attachMs;
    if (await isDeferred(id, until)) {
      return { ...id, mountpoint: volumes.mountpoint(id), ids: {}, inherited: new Map() };
    }
    if (deferred.asking(id)) {
      throw new VolumeError(
        'busy',
        `volume ${renderVolumeName(id)}: an earlier request for a volume of this name is being ended, try again`,
      );
    }
    return await volumes.open(id, Math.max(0, until - clock.monotonic()), parts.leaseSignal());
  };

  /**
   * The engine asks for a volume before it unmounts it, and does not unmount what is gone: a container that waits for the disk of a
   * removed volume, or has given it back, would never be heard of again, and count among the users of the next volume of that name.
   */
  const forgetGone = (id: VolumeId) =>
    serial(id, async () => {
      const use = table.use(id);
      if (!use || isLive(use) || (await client.get(id))) return;
      log.info('what waited for a volume that is gone is taken away', { volume: renderVolumeName(id) });
      await endUse.close(use);
    });

  const encode = (name: string, view: VolumeView): DriverVolume => ({
    name,
    mountpoint: table.use(view.record)?.mountpoint ?? '',
    createdAt: view.record.createdAt,
  });

  const shortName = (id: VolumeId, groups: string) => {
    const datastore = id.name.startsWith(baseVolumePrefix) ? parts.configuredDatastore : groups;
    return id.datastore === datastore && !id.name.includes('@') ? id.name : renderVolumeName(id);
  };

  return {
    async create(name, options) {
      // Here as well as in the service: a bad option is refused also while no manager can be reached.
      parseBlockOptions(options);
      const id = await parse(name);
      remember(await client.create(id, await fullSource(options)));
    },

    async remove(name) {
      const id = await parse(name);
      await serial(id, async () => {
        const use = table.use(id);
        if (use) {
          const users = Object.keys(use.ids).length;
          throw new VolumeError(
            'busy',
            `volume ${name} is in use on this host by ${users} container mount(s)`,
          );
        }
        await client.remove(id);
      });
    },

    async mount(name, mountId) {
      const asked = clock.monotonic();
      const id = await parse(name);
      return await serial(id, async () => {
        let use = table.use(id);
        if (use && isLive(use) && !(await volumes.usable(use))) {
          log.warn('what is mounted cannot be used any more, mounting again', { volume: name });
          await volumes.retire(use);
          await endUse.diskGone(use);
          use = table.use(id);
        }
        use ??= await begin(id);
        if (!isLive(use)) {
          await placeholders.place(use.mountpoint);
          parts.failAt?.('deferred.placed');
        }
        if (clock.monotonic() - asked > mountAnswerMs) {
          // The engine does not listen any more and will never unmount this.
          if (Object.keys(use.ids).length === 0) await endUse.close(use);
          throw new VolumeError(
            'timeout',
            `volume ${name}: mounted too late for the engine, unmounted again`,
          );
        }
        addUse(use, mountId);
        await table.put(use);
        deferred.wait(id);
        log.info('mounted', {
          volume: name,
          id: mountId,
          device: isLive(use) ? use.device : 'none yet',
          users: Object.keys(use.ids).length,
        });
        return use.mountpoint;
      });
    },

    async unmount(name, mountId) {
      const given = () => log.info('unmount of something that is not mounted', { volume: name, id: mountId });
      const id = mountedAs(name, mountId) ?? (await parse(name).catch(() => undefined));
      // Nobody can say what the name means, so nothing of it was ever mounted by this process.
      if (!id) return given();
      const ids = table.use(id)?.ids ?? {};
      // Its turn would only come when a file system has been checked that nobody needs now.
      if (ids[mountId] === 1 && Object.keys(ids).length === 1) deferred.callOff(id);
      await serial(id, async () => {
        const use = table.use(id);
        // Given up already: after a loss of the lease, or in an earlier life.
        if (!use || !endUseOf(use, mountId)) return given();
        await table.put(use);
        if (Object.keys(use.ids).length > 0) return;
        await endUse.close(use);
        log.info('unmounted', { volume: name });
      });
    },

    async path(name) {
      return table.use(await parse(name))?.mountpoint ?? '';
    },

    async get(name) {
      const id = await parse(name).catch((thrown) => {
        // No volume can have this name.
        if (toVolumeError(thrown).code === 'invalid') return undefined;
        throw thrown;
      });
      if (!id) return undefined;
      const view = await client.get(id);
      remember(view);
      if (!view && table.use(id)) await forgetGone(id);
      return view ? { ...encode(name, view), status: inspectStatus(view, deferred.reason(id)) } : undefined;
    },

    async list() {
      try {
        known.datastore = await parts.defaultDatastore.current().catch((thrown) => {
          // Without a vmgroup there are none but those below vFile's.
          if (toVolumeError(thrown).code === 'denied') return '';
          throw thrown;
        });
        known.list = await client.list();
      } catch (thrown) {
        if (!known.list) throw thrown;
        log.warn('list answers what was last known', { error: toVolumeError(thrown).message });
      }
      return known.list.map((view) => encode(shortName(view.record, known.datastore), view));
    },
  };
}
