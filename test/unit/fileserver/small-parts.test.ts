import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CrashPolicy } from '../../../src/fileserver/crash-policy.ts';
import { findMount } from '../../../src/fileserver/prepare-volume.ts';
import { serverEpoch } from '../../../src/fileserver/server-epoch.ts';

describe('the epoch that ganesha tells its clients', () => {
  it('is new with each start', () => {
    const start = fc.record({
      epoch: fc.integer({ min: 1, max: 4_000_000 }),
      number: fc.integer({ min: 1, max: 1_023 }),
    });
    fc.assert(
      fc.property(start, start, (a, b) => {
        fc.pre(a.epoch !== b.epoch || a.number !== b.number);
        expect(serverEpoch(a.epoch, a.number)).not.toBe(serverEpoch(b.epoch, b.number));
        expect(serverEpoch(a.epoch, a.number)).toBeGreaterThan(0);
        expect(serverEpoch(a.epoch, a.number)).toBeLessThan(2 ** 32);
      }),
    );
  });
});

describe('after a crash', () => {
  it('the server starts again at once, then after pauses, then no more', () => {
    const policy = new CrashPolicy();
    expect([0, 1, 2, 3, 4].map((at) => policy.crashed(at * 5_000, 1_000))).toEqual([
      0,
      200,
      1_000,
      2_000,
      undefined,
    ]);
  });

  it('one that served for a while meanwhile need not pause, but is not started for ever', () => {
    const policy = new CrashPolicy();
    expect([0, 1, 2, 3, 4].map((at) => policy.crashed(at * 10_000, 9_000))).toEqual([0, 0, 0, 0, undefined]);
  });

  it('one that failed on other hosts too stays where it is, with longer and longer pauses', () => {
    const policy = new CrashPolicy();
    for (let at = 0; at < 4; at += 1) policy.crashed(at, 0, true);
    expect([4, 5, 6, 7, 8].map((at) => policy.crashed(at, 9_000, true))).toEqual([
      ...[5_000, 10_000, 20_000, 30_000, 30_000],
    ]);
  });

  it('crashes of more than a minute ago do not count', () => {
    const policy = new CrashPolicy();
    policy.crashed(0, 0);
    policy.crashed(1_000, 0);
    expect(policy.crashed(70_000, 0)).toBe(0);
  });
});

describe('the mount of the block volume', () => {
  const info = [
    '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '40 22 7:0 / /export-root rw,relatime shared:1 - ext4 /dev/loop0 rw',
    '41 22 7:1 / /export-root/data rw - xfs /dev/loop1 rw',
    '42 22 7:2 / /with\\040blank rw - xfs /dev/loop2 rw',
    '',
  ].join('\n');

  it.each([
    ['/export-root', { type: 'ext4', source: '/dev/loop0', tags: ['shared:1'] }],
    ['/with blank', { type: 'xfs', source: '/dev/loop2', tags: [] }],
    ['/export', undefined],
    ['/export-root/', undefined],
  ])('%s', (path, mount) => {
    expect(findMount(info, path)).toEqual(mount);
  });
});
