import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createMirror } from '../../../src/etcd/list-watch-mirror.ts';
import { createMemoryStore, type MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Mirror } from '../../../src/etcd/mirror.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';

describe('a mirror', () => {
  const given: { mirrors: Mirror[] } = { mirrors: [] };
  let clock: ManualClock;
  let store: MemoryStore;
  let writer: MemoryStore;
  const mirror = (): Mirror => {
    const made = createMirror({ store, prefix: '/m/', clock, log: silentLog });
    given.mirrors.push(made);
    return made;
  };
  const values = (of: Mirror): unknown[] => [...of.entries.values()].map((entry) => entry.value);

  beforeEach(() => {
    clock = new ManualClock();
    store = createMemoryStore({ clock });
    writer = store.client();
  });
  afterEach(async () => {
    for (const made of given.mirrors.splice(0)) made.stop();
    await store.close();
  });

  it('has what was there and follows what changes', async () => {
    await writer.txn([], [{ put: '/m/a', value: 1 }]);
    await writer.txn([], [{ put: '/other', value: 1 }]);
    const copy = mirror();
    expect(copy.synced).toBe(false);
    await copy.ready(1_000);
    expect(values(copy)).toEqual([1]);
    await writer.txn([], [{ put: '/m/b', value: 2 }, { delete: '/m/a' }]);
    await clock.settle();
    expect(values(copy)).toEqual([2]);
    expect(copy.synced).toBe(true);
    expect(copy.problem).toBeUndefined();
  });

  it('tells which keys changed', async () => {
    const copy = mirror();
    await copy.ready(1_000);
    const told = vi.fn();
    const stop = copy.onChange(told);
    await writer.txn([], [{ put: '/m/a', value: 1 }]);
    await clock.settle();
    expect(told.mock.calls).toEqual([[new Set(['/m/a'])]]);
    stop();
    await writer.txn([], [{ put: '/m/a', value: 2 }]);
    await clock.settle();
    expect(told).toHaveBeenCalledTimes(1);
  });

  it('keeps what it knew while contact is lost, says so, and catches up', async () => {
    await writer.txn([], [{ put: '/m/a', value: 1 }]);
    const copy = mirror();
    await copy.ready(1_000);
    const told = vi.fn();
    copy.onChange(told);
    store.goOffline();
    await clock.advance(10_000);
    expect(copy.synced).toBe(false);
    expect(copy.problem).toMatch(/did not answer/);
    expect(values(copy)).toEqual([1]);
    await writer.txn([], [{ delete: '/m/a' }, { put: '/m/b', value: 2 }]);
    expect(told).not.toHaveBeenCalled();
    store.goOnline();
    await clock.advance(2_000);
    expect(copy.synced).toBe(true);
    expect(values(copy)).toEqual([2]);
    expect(told).toHaveBeenCalledWith(new Set(['/m/a', '/m/b']));
  });

  it('reads again when history it needed is gone', async () => {
    const copy = mirror();
    await copy.ready(1_000);
    store.goOffline();
    await clock.settle();
    await writer.txn([], [{ put: '/m/a', value: 1 }]);
    await writer.txn([], [{ put: '/m/a', value: 2 }]);
    writer.compact();
    store.goOnline();
    await clock.advance(2_000);
    expect(values(copy)).toEqual([2]);
  });

  it('asks again with pauses that grow', async () => {
    store.goOffline();
    const list = vi.spyOn(store, 'list');
    const copy = mirror();
    await clock.advance(1_000);
    // At 0, 100, 300 and 700 ms.
    expect(list).toHaveBeenCalledTimes(4);
    await clock.advance(60_000);
    expect(list.mock.calls.length).toBeLessThan(40);
    expect(copy.synced).toBe(false);
  });

  it('is not ready in time when etcd does not answer, and says why', async () => {
    store.goOffline();
    const ready = expect(mirror().ready(3_000)).rejects.toMatchObject({
      code: 'unavailable',
      message: /within 3000 ms.*did not answer/,
    });
    await clock.advance(3_000);
    await ready;
  });

  it('lets wait for what is there already, what comes, and what never comes', async () => {
    const copy = mirror();
    const look = () => copy.entries.get('/m/a')?.value;
    const describe_ = () => `a is ${String(look())}`;
    const waiting = copy.waitFor(look, { timeoutMs: 5_000, describe: describe_ });
    await writer.txn([], [{ put: '/m/a', value: 7 }]);
    await clock.settle();
    expect(await waiting).toBe(7);
    expect(await copy.waitFor(look, { timeoutMs: 5_000, describe: describe_ })).toBe(7);
    const never = copy.waitFor(() => undefined, { timeoutMs: 5_000, describe: describe_ });
    const failed = expect(never).rejects.toMatchObject({ code: 'timeout', message: 'a is 7' });
    await clock.advance(5_000);
    await failed;
  });

  it('ends a wait when it is cancelled or stopped', async () => {
    const copy = mirror();
    const cancel = new AbortController();
    const options = { timeoutMs: 5_000, describe: () => '' };
    const cancelled = expect(
      copy.waitFor(() => undefined, { ...options, signal: cancel.signal }),
    ).rejects.toThrow('no');
    cancel.abort(new Error('no'));
    await cancelled;
    const stopped = expect(copy.waitFor(() => undefined, options)).rejects.toMatchObject({
      code: 'unavailable',
    });
    copy.stop();
    await stopped;
  });
});
