import { describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { Run } from '../../../src/lib/exec.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { createReleaseNotes } from '../../../src/vdvs/node/release-notes.ts';
import { mount, volumesOn } from './pretended-host.ts';

describe('the word of a host that has let go of a disk', () => {
  const volumesThatNote = (gone: boolean, written: string[]) =>
    volumesOn({
      loops: { close: async () => gone },
      releaseNotes: { write: async (path) => void written.push(path) },
    });

  it('is given when its device is gone', async () => {
    const written: string[] = [];
    await volumesThatNote(true, written).release(mount);
    expect(written).toEqual([mount.releaseNote]);
  });

  it('is not given while something still holds the device', async () => {
    const written: string[] = [];
    await volumesThatNote(false, written).release(mount);
    expect(written).toEqual([]);
  });

  it('is given to no service that has not asked for it', async () => {
    const written: string[] = [];
    const { releaseNote: _none, ...older } = mount;
    await volumesThatNote(true, written).release(older);
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
