import { describe, expect, it } from 'vitest';
import { openVolumeFiles } from '../../../src/fileserver/volume-files.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { vfileKeys } from '../../../src/vfile/keys.ts';
import { Bench, volume } from './fakes.ts';

async function serving(): Promise<Bench> {
  const bench = new Bench();
  await bench.putMount('n2', '10.0.0.2');
  await bench.start();
  return bench;
}

/** The leader asks the server to make way for the standby. */
async function ask(bench: Bench): Promise<void> {
  const value = { v: 1, epoch: 1, at: '', stop: true };
  await bench.store.txn([], [{ put: vfileKeys.move(volume), value }]);
  await bench.clock.settle();
}

describe('a server that is to end as planned', () => {
  it('goes on while what the kernel holds is written out, again until little is left, and hands over then', async () => {
    const bench = await serving();
    bench.flushMs = 2_000;
    await ask(bench);
    await bench.clock.advance(1_999);
    expect([bench.flushes, bench.process.ended]).toEqual([1, false]);
    bench.flushMs = 200;
    await bench.clock.advance(1);
    expect([bench.flushes, bench.process.ended]).toEqual([2, false]);
    await bench.clock.advance(199);
    expect(bench.process.ended).toBe(false);
    await bench.clock.advance(1);
    expect([bench.flushes, bench.process.ended]).toEqual([2, true]);
    expect(bench.events.slice(-2)).toEqual(['kill', 'hand over']);
  });

  it('does not follow clients that write faster than the disk does', async () => {
    const bench = await serving();
    bench.flushMs = 1_000;
    await ask(bench);
    await bench.clock.advance(3_000);
    expect([bench.flushes, bench.process.ended]).toEqual([3, true]);
  });

  it('ends after a second when Docker stops it; the disk goes when nothing here uses it any more', async () => {
    const bench = await serving();
    bench.flushMs = 2_500;
    await bench.stop();
    await bench.clock.advance(999);
    expect(bench.process.ended).toBe(false);
    await bench.clock.advance(1);
    expect(bench.process.ended).toBe(true);
    expect(bench.events).not.toContain('hand over');
    await bench.clock.advance(1_500);
    expect(bench.events.at(-1)).toBe('hand over');
  });

  it('has no longer than Docker gives it when that stops it meanwhile', async () => {
    const bench = await serving();
    bench.flushMs = 9_000;
    await ask(bench);
    await bench.clock.advance(2_000);
    await bench.stop();
    await bench.clock.advance(999);
    expect(bench.process.ended).toBe(false);
    await bench.clock.advance(1);
    expect(bench.process.ended).toBe(true);
  });

  it('keeps the disk from the next one as long as a dead one is being written to', async () => {
    const bench = await serving();
    bench.flushMs = 3_600_000;
    await bench.stop();
    await bench.clock.advance(20_000);
    expect(bench.outcome).toBe('stopped');
    expect(bench.events).not.toContain('hand over');
    expect(bench.diskUse).toBe('held');
  });

  it('ends at once when writing out fails, or when there is nobody to serve any more', async () => {
    const failing = await serving();
    failing.flushError = new Error('EIO');
    await ask(failing);
    expect(failing.process.ended).toBe(true);
    const dead = await serving();
    dead.process.die();
    await dead.stop();
    expect([dead.flushes, dead.process.ended]).toEqual([0, true]);
  });

  it('ends at once when it loses the volume meanwhile', async () => {
    const bench = await serving();
    bench.flushMs = 9_000;
    await ask(bench);
    bench.own.goOffline();
    await bench.clock.advance(5_000);
    expect(bench.process.ended).toBe(true);
    await bench.clock.advance(10_000);
    expect(bench.outcome).toMatchObject({
      message: expect.stringContaining('the lease could not be renewed'),
    });
    expect(bench.events).not.toContain('hand over');
  });
});

describe('what the kernel holds of a file system', () => {
  const files = (exportRoot: string) =>
    openVolumeFiles({ exportRoot, host: 'n1', clock: new ManualClock(), log: silentLog });

  it('is written out; where there is none, that is an error', async () => {
    await files(import.meta.dirname).flush();
    await expect(files('/nowhere').flush()).rejects.toThrow(/nowhere/);
  });
});
