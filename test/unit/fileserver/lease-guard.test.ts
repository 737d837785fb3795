import { beforeEach, describe, expect, it } from 'vitest';
import { createMemoryStore, type MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Lease } from '../../../src/etcd/store.ts';
import { guardLease } from '../../../src/fileserver/lease-guard.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';

describe('the guard of a lease of 5 s with a margin of 1 s', () => {
  let time: ManualClock;
  let clock: Clock;
  let leap: number;
  let store: MemoryStore;
  let lease: Lease;
  let done: string[];

  beforeEach(async () => {
    time = new ManualClock();
    leap = 0;
    clock = {
      now: () => time.now() + leap,
      monotonic: () => time.monotonic(),
      sleep: (ms, signal) => time.sleep(ms, signal),
    };
    store = createMemoryStore({ clock: time });
    lease = await store.grantLease(5_000);
    done = [];
    guardLease({
      lease,
      clock,
      marginMs: 1_000,
      server: {
        kill: (reason) => void done.push(`kill at ${time.monotonic()}: ${reason}`),
        freeze: () => void done.push('freeze'),
        thaw: () => void done.push('thaw'),
      },
    });
  });

  it('does nothing while the lease is renewed', async () => {
    await time.advance(60_000);
    expect(done).toEqual([]);
  });

  it('kills once, when the last renewal is 4 s old', async () => {
    await time.advance(10_050);
    store.goOffline();
    await time.advance(20_000);
    expect(done).toEqual([expect.stringMatching(/^kill at 14000: the lease could not be renewed/)]);
  });

  it('has a server of a host that was suspended wait for a renewal sent after that', async () => {
    await time.advance(10_050);
    leap = 30_000;
    await time.advance(100);
    expect(done).toEqual(['freeze']);
    await time.advance(1_000);
    expect(done).toEqual(['freeze', 'thaw']);
    await time.advance(10_000);
    expect(done).toHaveLength(2);
  });

  it('kills the server of a host that was suspended for longer than its lease', async () => {
    await time.advance(10_050);
    leap = 30_000;
    store.dropLease(lease.id);
    await time.advance(1_100);
    expect(done).toEqual(['freeze', expect.stringMatching(/: the lease is gone$/)]);
  });

  it('takes small and backward steps of the wall clock for what they are', async () => {
    leap = 1_400;
    await time.advance(200);
    leap = -3_600_000;
    await time.advance(200);
    expect(done).toEqual([]);
  });
});
