import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import {
  type BlockVolumeParts,
  type BlockVolumes,
  createBlockVolumes,
} from '../../../src/vdvs/node/block-volumes.ts';
import type { LiveMount } from '../../../src/vdvs/node/mount-table.ts';

/** A volume that is mounted. */
export const mount: LiveMount = {
  datastore: 'ds',
  name: 'v',
  epoch: 3,
  lease: '77',
  device: '/nowhere/loop7',
  file: '/ds/v-flat.vmdk',
  mountpoint: '/nowhere/ds/v',
  fstype: 'ext4',
  releaseNote: '/ds/v~3.released',
  ids: {},
  inherited: new Map(),
};

/** What a test may give of a host; anything else must not be asked for. */
export interface Pretended {
  readonly loops: Partial<BlockVolumeParts['loops']>;
  readonly filesystems?: Partial<BlockVolumeParts['filesystems']>;
  /** Of the lease that the volume is attached under. */
  readonly loss?: AbortSignal;
  readonly giveBack?: BlockVolumeParts['grants']['giveBack'];
  readonly releaseNotes?: BlockVolumeParts['releaseNotes'];
}

/** Block volumes on a host where nothing is mounted any more. */
export function volumesOn(host: Pretended): BlockVolumes {
  const never = () => Promise.reject(new Error('not asked for'));
  return createBlockVolumes({
    client: { formatted: never },
    grants: { attach: never, attachOnce: never, giveBack: host.giveBack ?? never },
    guard: {
      lease: never,
      lossOf: () => host.loss ?? new AbortController().signal,
      protect: never,
      release: async () => undefined,
      shutdown: async () => true,
      onFenced: () => undefined,
    },
    loops: { open: never, grow: never, list: never, close: never, fileOf: () => undefined, ...host.loops },
    filesystems: {
      ...{ look: never, make: never, check: never, giveUuid: never, grow: never, mount: never },
      ...{ remountReadOnly: never, sync: never, unmount: never, unmountLazily: never },
      ...host.filesystems,
    },
    releaseNotes: host.releaseNotes ?? { write: never },
    grow: never,
    mountRoot: '/nowhere',
    readMounts: async () => [],
    datastores: new Map(),
    onUncertain: () => undefined,
    clock: new ManualClock(),
    log: silentLog,
  });
}
