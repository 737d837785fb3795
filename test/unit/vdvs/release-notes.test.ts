import { describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { Run } from '../../../src/lib/exec.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { type BlockVolumeParts, createBlockVolumes } from '../../../src/vdvs/node/block-volumes.ts';
import type { LiveMount } from '../../../src/vdvs/node/mount-table.ts';
import { createReleaseNotes } from '../../../src/vdvs/node/release-notes.ts';

const mount: LiveMount = {
  datastore: 'ds',
  name: 'v',
  epoch: 3,
  lease: '77',
  device: '/dev/loop7',
  mountpoint: '/nowhere/ds/v',
  fstype: 'ext4',
  releaseNote: '/ds/v~3.released',
  ids: {},
  inherited: new Map(),
};

describe('the word of a host that has let go of a disk', () => {
  const never = () => Promise.reject(new Error('not asked for'));
  const volumesOn = (gone: boolean, written: string[]) => {
    const parts: BlockVolumeParts = {
      client: { formatted: never },
      grants: { attach: never, attachOnce: never, giveBack: never },
      guard: {
        lease: never,
        protect: never,
        release: async () => undefined,
        shutdown: async () => true,
        onFenced: () => undefined,
      },
      loops: { open: never, grow: never, list: never, close: async () => gone },
      filesystems: {
        ...{ look: never, make: never, check: never, giveUuid: never, grow: never, mount: never },
        ...{ remountReadOnly: never, sync: never, unmount: never, unmountLazily: async () => undefined },
      },
      releaseNotes: { write: async (path) => void written.push(path) },
      grow: never,
      mountRoot: '/nowhere',
      readMounts: async () => [],
      datastores: new Map(),
      onUncertain: () => undefined,
      clock: new ManualClock(),
      log: silentLog,
    };
    return createBlockVolumes(parts);
  };

  it('is given when its device is gone', async () => {
    const written: string[] = [];
    await volumesOn(true, written).release(mount);
    expect(written).toEqual([mount.releaseNote]);
  });

  it('is not given while something still holds the device', async () => {
    const written: string[] = [];
    await volumesOn(false, written).release(mount);
    expect(written).toEqual([]);
  });

  it('is given to no service that has not asked for it', async () => {
    const written: string[] = [];
    const { releaseNote: _none, ...older } = mount;
    await volumesOn(true, written).release(older);
    expect(written).toEqual([]);
  });

  it('keeps nobody back when the datastore does not answer', async () => {
    const deadlines: number[] = [];
    const run: Run = (_program, _args, { timeoutMs }) => {
      deadlines.push(timeoutMs);
      return Promise.reject(new VolumeError('timeout', 'no answer'));
    };
    await createReleaseNotes({ run, log: silentLog }).write('/ds/v~3.released');
    expect(deadlines).toEqual([5_000]);
  });
});
