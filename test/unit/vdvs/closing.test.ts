import { describe, expect, it } from 'vitest';
import type { LoopDevice } from '../../../src/vdvs/node/loop-devices.ts';
import { mount, volumesOn } from './pretended-host.ts';

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
