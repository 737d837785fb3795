import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMemoryStore, type MemoryStore } from '../../../src/etcd/memory-store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import type { Fence } from '../../../src/vdvs/guard/fence.ts';
import { createNodeGuard, type NodeGuard } from '../../../src/vdvs/guard/guard.ts';
import type { GuardState } from '../../../src/vdvs/guard/guard-state.ts';
import type { FromGuard } from '../../../src/vdvs/guard/messages.ts';

const leaseMs = 5_000;
const marginMs = 1_000;
const mount = { mountpoint: '/mnt/v', device: '/dev/loop7' };

describe('the guard', () => {
  let clock: ManualClock;
  let store: MemoryStore;
  let told: FromGuard[];
  let fenced: { what: string; at: number }[];
  let fence: Fence & { mounted: Set<string>; broken: boolean };
  let file: GuardState | undefined;
  let stop: AbortController;
  /** Other processes count time from another start. */
  const hostMs = () => clock.monotonic() + 1_000_000;

  const guardWith = (overrides: { leftovers?: (typeof mount)[]; bootId?: string } = {}): NodeGuard =>
    createNodeGuard({
      store,
      fence,
      state: {
        read: () => file,
        write: (state) => {
          file = state;
        },
      },
      bootId: overrides.bootId ?? 'boot1',
      leftovers: () => overrides.leftovers ?? [],
      leaseMs,
      marginMs,
      endpoints: () => ['127.0.0.1:2379'],
      hostMs,
      tell: (message) => void told.push(message),
      clock,
      log: silentLog,
    });
  const leaseOf = (message: FromGuard | undefined): string => {
    if (message?.type !== 'lease') throw new Error(`no lease but ${JSON.stringify(message)}`);
    return message.lease;
  };
  const holding = async (guard: NodeGuard): Promise<string> => {
    void guard.run(stop.signal);
    await clock.advance(10);
    const lease = leaseOf(told.at(-1));
    guard.protect(mount, lease);
    fence.mounted.add(mount.mountpoint);
    return lease;
  };

  beforeEach(() => {
    clock = new ManualClock();
    store = createMemoryStore({ clock }).client();
    told = [];
    fenced = [];
    file = undefined;
    stop = new AbortController();
    fence = {
      mounted: new Set(),
      broken: false,
      async shutdown({ mountpoint }) {
        if (fence.broken) throw new Error('no such luck');
        if (!fence.mounted.has(mountpoint)) return false;
        fenced.push({ what: `shutdown ${mountpoint}`, at: clock.monotonic() });
        return true;
      },
      async flush(device) {
        fenced.push({ what: `flush ${device}`, at: clock.monotonic() });
      },
    };
  });
  afterEach(async () => {
    stop.abort();
    await clock.settle();
    await store.close();
  });

  it('holds one lease for as long as the store answers', async () => {
    const lease = await holding(guardWith());
    await clock.advance(60_000);
    expect(told.filter((message) => message.type === 'lease')).toHaveLength(1);
    expect(file).toMatchObject({ lease, bootId: 'boot1', endpoints: ['127.0.0.1:2379'] });
    expect((file?.safeUntilHostMs ?? 0) - hostMs()).toBeGreaterThan(leaseMs - marginMs - 500);
    expect(fenced).toEqual([]);
  });

  it('shuts down and flushes before the lease can have run out, then says so', async () => {
    await holding(guardWith());
    await clock.advance(2_000);
    const lastRenewal = clock.monotonic();
    store.goOffline();
    await clock.advance(20_000);
    expect(fenced.map((one) => one.what)).toEqual(['shutdown /mnt/v', 'flush /dev/loop7']);
    expect(fenced[0]?.at).toBeLessThanOrEqual(lastRenewal + leaseMs - marginMs + 200);
    expect(told.map((message) => message.type)).toContain('fenced');
  });

  it('shuts down once what it is then asked to shut down, and again what is mounted there anew', async () => {
    const guard = guardWith();
    await holding(guard);
    store.goOffline();
    await clock.advance(20_000);
    expect(await guard.shutdown(mount)).toBe(true);
    expect(fenced).toHaveLength(2);
    // Another disk at the same place is not the one that was shut down.
    expect(await guard.shutdown({ ...mount, device: '/dev/loop8' })).toBe(true);
    expect(fenced).toHaveLength(3);
    store.goOnline();
    await clock.advance(1_000);
    guard.protect(mount, leaseOf(told.at(-1)));
    expect(await guard.shutdown(mount)).toBe(true);
    expect(fenced).toHaveLength(4);
  });

  it('lives through a loss of contact that is shorter than the lease', async () => {
    await holding(guardWith());
    store.goOffline();
    await clock.advance(2_500);
    store.goOnline();
    await clock.advance(20_000);
    expect(fenced).toEqual([]);
  });

  it('gets a new lease when contact is back, with which nothing old may be used', async () => {
    const guard = guardWith();
    const first = await holding(guard);
    store.goOffline();
    await clock.advance(10_000);
    store.goOnline();
    await clock.advance(1_000);
    const second = leaseOf(told.at(-1));
    expect(second).not.toBe(first);
    expect(() => guard.protect(mount, first)).toThrow('lost its lease');
    guard.protect(mount, second);
  });

  it('shuts down at the first look after a freeze, and flushes nothing', async () => {
    await holding(guardWith());
    // Nothing runs, then everything is late at once.
    const frozen = clock.monotonic() + 60_000;
    const real = clock.monotonic.bind(clock);
    clock.monotonic = () => Math.max(real(), frozen);
    await clock.advance(200);
    expect(fenced.map((one) => one.what)).toEqual(['shutdown /mnt/v']);
  });

  it('shuts down when the store says that the lease is gone', async () => {
    const lease = await holding(guardWith());
    (store as MemoryStore).dropLease(lease);
    await clock.advance(2_000);
    expect(fenced.map((one) => one.what)).toEqual(['shutdown /mnt/v']);
    expect(told.map((message) => message.type)).toEqual(['fenced', 'lease', 'fenced', 'lease']);
  });

  it('catches what is mounted only after the lease was lost', async () => {
    const guard = guardWith();
    await holding(guard);
    fence.mounted.clear();
    store.goOffline();
    await clock.advance(6_000);
    expect(fenced).toEqual([]);
    fence.mounted.add(mount.mountpoint);
    await clock.advance(1_000);
    expect(fenced.map((one) => one.what)).toEqual(['shutdown /mnt/v']);
  });

  it('lets the lease run out by itself when a file system cannot be shut down', async () => {
    const lease = await holding(guardWith());
    const key = { put: '/k', value: { v: 1 }, lease };
    await store.txn([], [key]);
    fence.broken = true;
    const other = store.client();
    store.goOffline();
    await clock.advance(4_500);
    store.goOnline();
    await clock.advance(200);
    // Revoked, it would be gone by now.
    expect(await other.get('/k')).toBeDefined();
    await clock.advance(3_000);
    expect(await other.get('/k')).toBeUndefined();
  });

  it('goes on with the lease of an earlier life of the same boot', async () => {
    const first = await holding(guardWith());
    stop.abort();
    stop = new AbortController();
    told = [];
    void guardWith({ leftovers: [mount] }).run(stop.signal);
    await clock.advance(500);
    expect(told).toEqual([{ type: 'lease', lease: first, kept: true }]);
    expect(fenced).toEqual([]);
    store.goOffline();
    await clock.advance(10_000);
    expect(fenced[0]?.what).toBe('shutdown /mnt/v');
  });

  it('shuts down what an earlier life left when its lease is gone', async () => {
    const first = await holding(guardWith());
    stop.abort();
    stop = new AbortController();
    (store as MemoryStore).dropLease(first);
    told = [];
    void guardWith({ leftovers: [mount] }).run(stop.signal);
    await clock.advance(500);
    expect(fenced[0]?.what).toBe('shutdown /mnt/v');
    expect(leaseOf(told.at(-1))).not.toBe(first);
  });

  it('does not wait for an unreachable store longer than the earlier lease lasts', async () => {
    await holding(guardWith());
    stop.abort();
    stop = new AbortController();
    store.goOffline();
    const began = clock.monotonic();
    void guardWith({ leftovers: [mount] }).run(stop.signal);
    await clock.advance(10_000);
    expect(fenced[0]?.what).toBe('shutdown /mnt/v');
    expect((fenced[0]?.at ?? Number.POSITIVE_INFINITY) - began).toBeLessThanOrEqual(leaseMs - marginMs + 400);
  });

  it('gives up the lease of an earlier boot at once', async () => {
    const first = await holding(guardWith());
    await store.txn([], [{ put: '/k', value: { v: 1 }, lease: first }]);
    stop.abort();
    stop = new AbortController();
    told = [];
    void guardWith({ bootId: 'boot2' }).run(stop.signal);
    await clock.advance(500);
    expect(await store.get('/k')).toBeUndefined();
    expect(told.at(-1)).toMatchObject({ type: 'lease', kept: false });
  });

  it('shuts down what is still mounted when it ends, and gives the lease back', async () => {
    const guard = guardWith();
    const lease = await holding(guard);
    await store.txn([], [{ put: '/k', value: { v: 1 }, lease }]);
    stop.abort();
    await guard.end('test');
    expect(fenced.map((one) => one.what)).toEqual(['shutdown /mnt/v', 'flush /dev/loop7']);
    expect(await store.get('/k')).toBeUndefined();
  });

  it('tells a new main process how things are', async () => {
    const guard = guardWith();
    const lease = await holding(guard);
    told = [];
    guard.greet();
    expect(told).toEqual([{ type: 'lease', lease, kept: false }]);
  });
});
