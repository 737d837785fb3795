import type { Log } from '../../lib/log.ts';
import { renderVolumeName } from '../names.ts';
import type { BlockVolumes } from './block-volumes.ts';
import type { Deferred } from './deferred.ts';
import { isLive, type LiveMount, type MountTable, type VolumeUse } from './mount-table.ts';
import type { Placeholders } from './placeholder.ts';

/** Ends of a volume's use on this host, with its disk or with a placeholder. All in the volume's turn in the queue. */
export interface EndUse {
  /** No container uses it any more: gives the disk back, and leaves nothing. */
  close(use: VolumeUse): Promise<void>;
  /** Its disk was taken away: forgets it, or, where a placeholder is left with users, waits for the disk again. */
  diskGone(mount: LiveMount): Promise<void>;
}

/** A use without its disk. */
export function withoutDisk({ datastore, name, mountpoint, ids, inherited }: LiveMount): VolumeUse {
  return { datastore, name, mountpoint, ids, inherited };
}

/** See `EndUse`. */
export function createEndUse(parts: {
  readonly volumes: Pick<BlockVolumes, 'close'>;
  readonly table: MountTable;
  readonly placeholders: Placeholders;
  readonly deferred: Deferred;
  readonly datastores: ReadonlyMap<string, string>;
  readonly log: Log;
}): EndUse {
  const { volumes, table, placeholders, deferred } = parts;
  return {
    async close(use) {
      if (isLive(use)) await volumes.close(use);
      if (!isLive(use) || use.deferred) await placeholders.remove(use.mountpoint);
      await table.delete(use);
    },
    async diskGone(mount) {
      if (!mount.deferred) return await table.delete(mount);
      const folder = parts.datastores.get(mount.datastore);
      if (folder !== undefined) await deferred.leftBehind(mount, { device: mount.device, folder });
      await table.put(withoutDisk(mount));
      parts.log.info('its containers wait for the disk again', { volume: renderVolumeName(mount) });
      deferred.wait(mount);
    },
  };
}
