import { describe, expect, it } from 'vitest';
import type { LoopDevice } from '../../../src/vdvs/node/loop-devices.ts';
import { mount, volumesOn } from './pretended-host.ts';

describe('a volume that is given back while the managers are out of reach', () => {
  const ending = (how: 'close' | 'handOver', gone = true) => {
    const loss = new AbortController();
    const notes: string[] = [];
    let answer = (): void => undefined;
    let asked = (): void => undefined;
    const asking = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const volumes = volumesOn({
      loops: { close: async () => gone, fileOf: () => mount.file },
      filesystems: {
        sync: async () => undefined,
        unmountLazily: async () => undefined,
        mount: async () => undefined,
      },
      giveBack: () =>
        new Promise((resolve) => {
          answer = () => resolve();
          asked();
        }),
      loss: loss.signal,
      releaseNotes: { write: async (path) => void notes.push(path) },
    });
    const ended = volumes[how](mount);
    return { loss, notes, ended, asking, answer: () => answer() };
  };
  /** All that can happen now has happened. */
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it.each(['close', 'handOver'] as const)(
    'is said in the datastore to be let go of once the lease is lost: %s',
    async (how) => {
      const { loss, notes, ended, asking, answer } = ending(how);
      await asking;
      await settled();
      // The service may grant it again under this lease, as the same attachment.
      expect(notes).toEqual([]);
      loss.abort();
      await settled();
      expect(notes).toEqual([mount.releaseNote]);
      answer();
      await ended;
    },
  );

  it('is said to be so at once when the lease was lost before', async () => {
    const { loss, notes, ended, asking, answer } = ending('handOver');
    loss.abort();
    await asking;
    await settled();
    expect(notes).toEqual([mount.releaseNote]);
    answer();
    await ended;
  });

  it('is not while something may still write to it', async () => {
    const { loss, notes, ended, asking, answer } = ending('handOver', false);
    loss.abort();
    await asking;
    await settled();
    answer();
    await ended;
    expect(notes).toEqual([]);
  });

  it('is not when a manager has it back in time', async () => {
    const { loss, notes, ended, asking, answer } = ending('handOver');
    await asking;
    answer();
    await ended;
    loss.abort();
    await settled();
    expect(notes).toEqual([]);
  });
});

describe('a volume whose file system something hidden held for a while', () => {
  const ended = async (how: 'close' | 'handOver') => {
    const closed: LoopDevice[] = [];
    const given: unknown[] = [];
    const volumes = volumesOn({
      // Its last user ended after the wait, and the number went to another disk at once.
      loops: {
        close: async (loop) => {
          closed.push(loop);
          return false;
        },
        fileOf: () => '/ds/others-flat.vmdk',
      },
      filesystems: { sync: async () => undefined, unmountLazily: async () => undefined },
      giveBack: async (_id, epoch, clean) => void given.push({ epoch, clean }),
    });
    await volumes[how](mount);
    return { closed, given };
  };

  it.each(['close', 'handOver'] as const)('never has another disk shut down: %s', async (how) => {
    // Mounting it, so that it can be shut down, would be refused here.
    expect(await ended(how)).toEqual({
      closed: [{ device: mount.device, file: mount.file }],
      given: [{ epoch: mount.epoch, clean: true }],
    });
  });
});
