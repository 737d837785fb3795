import { execFileSync } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { isAttached, isShutDown } from '../../../src/fileserver/attachment.ts';
import { type BlockVolume, createBlockVolume } from './block-volume.ts';

describe.each(['ext4', 'xfs'] as const)('a disk that its host has shut down, on %s', (fsType) => {
  let disk: BlockVolume;
  afterEach(() => disk.remove());

  it.each(['rw', 'ro'])('is known by whoever still sees it, mounted %s', async (access) => {
    disk = await createBlockVolume(fsType);
    execFileSync('mount', ['-o', `remount,${access}`, disk.root]);
    expect(await isShutDown(disk.root)).toBe(false);
    execFileSync('xfs_io', ['-x', '-c', 'shutdown', disk.root]);
    expect(await isAttached(disk.root)).toBe(true);
    expect(await isShutDown(disk.root)).toBe(true);
    // What lies below it is no disk.
    await disk.takeAway();
    expect(await isShutDown(disk.root)).toBe(false);
  });
});
