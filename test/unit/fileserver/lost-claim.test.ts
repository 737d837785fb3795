import { describe, expect, it } from 'vitest';
import { vfileKeys } from '../../../src/vfile/keys.ts';
import { Bench, diskKey, volume } from './fakes.ts';

/** A server that has lost contact to etcd for so long that it had to be killed. */
async function cutOff(): Promise<Bench> {
  const bench = new Bench();
  await bench.putMount('n2', '10.0.0.2');
  await bench.start();
  await bench.clock.advance(1_000);
  bench.own.goOffline();
  await bench.clock.advance(4_100);
  return bench;
}

describe('a file server that loses its claim', () => {
  it('is killed while the claim still stands, and claims the volume anew where its disk is', async () => {
    const bench = await cutOff();
    expect(bench.process.ended).toBe(true);
    expect(await bench.value('claim')).toMatchObject({ epoch: 1 });
    await bench.clock.advance(3_000);
    expect(await bench.value('claim')).toBeUndefined();
    expect([bench.outcome, bench.processes.length]).toEqual(['running', 1]);
    bench.own.goOnline();
    await bench.clock.advance(2_500);
    expect(await bench.value('server')).toMatchObject({
      epoch: 2,
      instance: 1,
      after: expect.stringContaining('the lease could not be renewed'),
    });
    expect([bench.outcome, bench.processes.length, bench.process.ended]).toEqual(['running', 2, false]);
    // The disk and the socket were never let go of.
    expect(bench.events.filter((event) => event === 'hold')).toHaveLength(1);
    expect(bench.diskUse).toBe('held');
    await bench.clock.advance(60_000);
    expect([bench.outcome, bench.processes.length]).toEqual(['running', 2]);
    expect(bench.permittedUntil).toBeGreaterThan(bench.clock.monotonic());
  });

  it('does the same at once when etcd says that the lease is gone', async () => {
    const bench = new Bench();
    await bench.start();
    const claim = await bench.store.get(vfileKeys.claim(volume));
    bench.store.dropLease(claim?.lease ?? '');
    await bench.clock.advance(1_500);
    expect(bench.processes[0]?.ended).toBe(true);
    expect(await bench.value('server')).toMatchObject({ epoch: 2, after: 'killed: the lease is gone' });
  });

  it('ends when its disk has gone elsewhere meanwhile', async () => {
    const bench = await cutOff();
    await bench.clock.advance(3_000);
    bench.attached = false;
    await bench.clock.advance(1_000);
    expect(bench.outcome).toMatchObject({ message: expect.stringContaining('the disk has left this host') });
    bench.own.goOnline();
    await bench.clock.advance(10_000);
    expect(await bench.value('claim')).toBeUndefined();
  });

  it('keeps a disk that is taken away open no longer, whatever it waits for', async () => {
    const bench = await cutOff();
    expect(bench.diskUse).toBe('held');
    bench.attached = false;
    await bench.clock.advance(200);
    expect(bench.diskUse).toBe('free');
  });

  it('ends as soon as the disk is shut down, though it still sees it: until then the host cannot let go of it', async () => {
    const bench = await cutOff();
    bench.shutDown = true;
    await bench.clock.advance(200);
    expect(bench.outcome).toMatchObject({ message: expect.stringContaining('the disk has left this host') });
  });

  it('ends when the disk is given to this host no more, though it still seems to be mounted', async () => {
    const bench = await cutOff();
    await bench.store.txn([], [{ delete: diskKey }]);
    bench.own.goOnline();
    await bench.clock.advance(5_000);
    expect(bench.outcome).toMatchObject({
      message: expect.stringContaining('not given to this host any more'),
    });
    expect(await bench.value('claim')).toBeUndefined();
  });

  it('does not claim when the disk is taken away at that very moment', async () => {
    const bench = await cutOff();
    await bench.clock.advance(3_000);
    // Looked for, and given to another attachment before the claim is taken.
    bench.onDiskFound = () =>
      bench.store
        .txn([], [{ delete: diskKey }])
        .then(() => bench.store.txn([], [{ put: diskKey, value: 'anew' }]));
    bench.own.goOnline();
    await bench.clock.advance(20_000);
    expect([await bench.value('claim'), bench.processes.length]).toEqual([undefined, 1]);
  });

  it('serves nothing under a claim that was lost before the server was started', async () => {
    const bench = new Bench();
    bench.followMs = 10_000;
    await bench.start();
    bench.own.goOffline();
    await bench.clock.advance(5_000);
    bench.own.goOnline();
    await bench.clock.advance(30_000);
    expect(bench.epochs).toHaveLength(1);
    expect(await bench.value('server')).toMatchObject({ epoch: 2, instance: 1 });
  });

  it('stops when it is told to while it waits to claim', async () => {
    const bench = await cutOff();
    await bench.stop();
    await bench.clock.advance(10_000);
    expect([bench.outcome, bench.processes.length]).toEqual(['stopped', 1]);
    expect(bench.diskUse).toBe('free');
  });

  it('ends where nobody says whether its disk is here alone: with another driver than vDVS', async () => {
    const bench = new Bench();
    await bench.start();
    const spec = (await bench.store.get(vfileKeys.spec(volume)))?.value as Record<string, unknown>;
    await bench.store.txn([], [{ put: vfileKeys.spec(volume), value: { ...spec, baseDriver: 'other' } }]);
    await bench.clock.advance(1_000);
    bench.own.goOffline();
    await bench.clock.advance(8_000);
    expect(bench.outcome).toMatchObject({
      message: expect.stringContaining('the lease could not be renewed'),
    });
  });

  it('leaves the volume to another host when it loses it again and again', async () => {
    const bench = new Bench();
    await bench.start();
    for (let loss = 1; loss <= 5; loss += 1) {
      expect(bench.outcome).toBe('running');
      const claim = await bench.store.get(vfileKeys.claim(volume));
      bench.store.dropLease(claim?.lease ?? '');
      await bench.clock.advance(6_000);
    }
    expect(bench.outcome).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/ended 5 times within a minute: killed: the lease is gone/),
    });
  });
});
