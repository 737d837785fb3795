import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Change, Lease, Store } from '../../src/etcd/store.ts';
import { systemClock } from '../../src/lib/clock.ts';

/** A kind of store under test. */
export interface StoreSubject {
  /** A client of the same data; the suite closes it. */
  open(): Store;
  /** Forgets the history up to a revision. */
  compact(revision: number): Promise<void>;
  stop(): Promise<void>;
}

interface Seen {
  changes: Change[];
  lost: Error[];
}

function label(change: Change): string {
  return change.type === 'put' ? `put ${change.entry.key}` : `delete ${change.key}`;
}

/** What every store does, whatever is behind it. */
export function storeContract(name: string, start: () => Promise<StoreSubject>): void {
  describe(`a store (${name})`, () => {
    const given: { subject?: StoreSubject; stores: Store[]; leases: Lease[]; count: number } = {
      stores: [],
      leases: [],
      count: 0,
    };
    const open = (): Store => {
      const store = given.subject?.open();
      if (!store) throw new Error('not started');
      given.stores.push(store);
      return store;
    };
    /** A prefix of its own for each test. */
    const place = (): string => {
      given.count += 1;
      return `/contract/${given.count}/`;
    };
    const follow = (
      store: Store,
      prefix: string,
      from: number,
      signal = new AbortController().signal,
    ): Seen => {
      const seen: Seen = { changes: [], lost: [] };
      store.watch(
        prefix,
        from,
        { changes: (c) => seen.changes.push(...c), lost: (r) => seen.lost.push(r) },
        signal,
      );
      return seen;
    };

    beforeAll(async () => {
      given.subject = await start();
      const store = open();
      await vi.waitFor(() => store.list('/contract/'), { timeout: 20_000, interval: 200 });
    });
    afterEach(async () => {
      for (const store of given.stores.splice(0)) await store.close();
    });
    afterAll(async () => {
      await given.subject?.stop();
    });

    it('knows nothing of a key that was never written', async () => {
      const at = place();
      const store = open();
      expect(await store.get(`${at}a`)).toBeUndefined();
      expect((await store.list(at)).entries).toEqual([]);
    });

    it('reads what was written, with its revisions', async () => {
      const at = place();
      const store = open();
      const value = { v: 1, text: 'ä€😀', list: [1, null, { deep: true }] };
      const first = await store.txn([], [{ put: `${at}a`, value }]);
      const second = await store.txn([], [{ put: `${at}a`, value: { v: 2 } }]);
      expect(first.done && second.done && second.revision > first.revision).toBe(true);
      expect(await store.get(`${at}a`)).toEqual({
        key: `${at}a`,
        value: { v: 2 },
        createRevision: first.revision,
        modRevision: second.revision,
        lease: undefined,
      });
    });

    it('lists only keys below the prefix, in order, at one revision', async () => {
      const at = place();
      const store = open();
      const keys = [`${at}vol10`, `${at}vol1`, `${at}vol1/x`, `${at}b`];
      for (const put of keys) await store.txn([], [{ put, value: 1 }]);
      const { entries, revision } = await store.list(`${at}vol1`);
      expect(entries.map((entry) => entry.key)).toEqual([`${at}vol1`, `${at}vol1/x`, `${at}vol10`]);
      expect((await store.list(`${at}vol1/`)).entries.map((entry) => entry.key)).toEqual([`${at}vol1/x`]);
      expect(revision).toBeGreaterThanOrEqual(Math.max(...entries.map((entry) => entry.modRevision)));
    });

    it('does a transaction only when all conditions hold', async () => {
      const at = place();
      const store = open();
      const key = `${at}a`;
      expect((await store.txn([{ key, is: 'present' }], [{ put: key, value: 1 }])).done).toBe(false);
      expect((await store.txn([{ key, is: 'absent' }], [{ put: key, value: 1 }])).done).toBe(true);
      expect((await store.txn([{ key, is: 'absent' }], [{ put: key, value: 2 }])).done).toBe(false);
      const entry = await store.get(key);
      const modRevision = entry?.modRevision ?? -1;
      const createRevision = entry?.createRevision ?? -1;
      expect((await store.txn([{ key, modRevision }], [{ put: key, value: 3 }])).done).toBe(true);
      expect((await store.txn([{ key, modRevision }], [{ put: key, value: 4 }])).done).toBe(false);
      expect((await store.txn([{ key, createRevision }], [{ put: key, value: 5 }])).done).toBe(true);
      const both = [
        { key, createRevision },
        { key: `${at}b`, is: 'present' as const },
      ];
      expect((await store.txn(both, [{ put: key, value: 6 }])).done).toBe(false);
      expect((await store.get(key))?.value).toBe(5);
    });

    it('treats revision 0 as absence', async () => {
      const at = place();
      const store = open();
      const key = `${at}a`;
      expect((await store.txn([{ key, modRevision: 0 }], [{ put: key, value: 1 }])).done).toBe(true);
      expect((await store.txn([{ key, modRevision: 0 }], [{ put: key, value: 2 }])).done).toBe(false);
    });

    it('does several operations as one revision', async () => {
      const at = place();
      const store = open();
      await store.txn([], [{ put: `${at}old/1`, value: 1 }]);
      await store.txn([], [{ put: `${at}old/2`, value: 1 }]);
      const before = await store.list(at);
      const result = await store.txn(
        [],
        [
          { put: `${at}a`, value: 1 },
          { put: `${at}b`, value: 2 },
          { deletePrefix: `${at}old/` },
          { delete: `${at}none` },
        ],
      );
      expect(result.revision).toBe(before.revision + 1);
      const { entries } = await store.list(at);
      expect(entries.map((entry) => [entry.key, entry.modRevision])).toEqual([
        [`${at}a`, result.revision],
        [`${at}b`, result.revision],
      ]);
    });

    it('refuses a transaction that touches a key twice', async () => {
      const at = place();
      const store = open();
      const twice = store.txn([], [{ put: `${at}a`, value: 1 }, { deletePrefix: at }]);
      await expect(twice).rejects.toMatchObject({ code: 'invalid' });
      expect(await store.get(`${at}a`)).toBeUndefined();
    });

    it('gives exactly one of many writers the key', async () => {
      const at = place();
      const stores = Array.from({ length: 8 }, open);
      const key = `${at}a`;
      const results = await Promise.all(
        stores.map((store, index) => store.txn([{ key, is: 'absent' }], [{ put: key, value: index }])),
      );
      expect(results.filter((result) => result.done)).toHaveLength(1);
    });

    it('shows a watch what happened since its revision and what happens then, in order', async () => {
      const at = place();
      const [writer, reader] = [open(), open()];
      const { revision } = await writer.list(at);
      await writer.txn([], [{ put: `${at}a`, value: 1 }]);
      await writer.txn([], [{ put: `/elsewhere${at}`, value: 1 }]);
      const seen = follow(reader, at, revision + 1);
      await vi.waitFor(() => expect(seen.changes).toHaveLength(1));
      await writer.txn([], [{ put: `${at}b`, value: 2 }]);
      await writer.txn([], [{ delete: `${at}a` }]);
      await vi.waitFor(() => expect(seen.changes).toHaveLength(3));
      expect(seen.changes.map(label)).toEqual([`put ${at}a`, `put ${at}b`, `delete ${at}a`]);
      const [, , last] = seen.changes;
      expect(last?.type === 'delete' && last.revision).toBe(revision + 4);
      expect(seen.lost).toEqual([]);
    });

    it('tells a watch of a compacted revision that it is lost', async () => {
      const at = place();
      const store = open();
      const first = await store.txn([], [{ put: `${at}a`, value: 1 }]);
      const last = await store.txn([], [{ put: `${at}a`, value: 2 }]);
      await given.subject?.compact(last.revision);
      const seen = follow(store, at, first.revision);
      await vi.waitFor(() => expect(seen.lost).toHaveLength(1));
      expect(seen.lost[0]?.message).toMatch(/compacted/);
      expect(seen.changes).toEqual([]);
    });

    it('says nothing more to a watch that was aborted', async () => {
      const at = place();
      const store = open();
      const stop = new AbortController();
      const { revision } = await store.list(at);
      const stopped = follow(store, at, revision + 1, stop.signal);
      const other = follow(store, at, revision + 1);
      await store.txn([], [{ put: `${at}a`, value: 1 }]);
      await vi.waitFor(() => expect([stopped.changes.length, other.changes.length]).toEqual([1, 1]));
      stop.abort();
      await store.txn([], [{ put: `${at}b`, value: 1 }]);
      await vi.waitFor(() => expect(other.changes).toHaveLength(2));
      expect(stopped.changes).toHaveLength(1);
      expect(stopped.lost).toEqual([]);
    });

    it('removes the keys of a lease when it is revoked, and refuses writes on it', async () => {
      const at = place();
      const store = open();
      const lease = await store.grantLease(10_000);
      await store.txn([], [{ put: `${at}a`, value: 1, lease: lease.id }]);
      expect((await store.get(`${at}a`))?.lease).toBe(lease.id);
      await lease.revoke();
      expect(await store.get(`${at}a`)).toBeUndefined();
      const late = store.txn([], [{ put: `${at}a`, value: 1, lease: lease.id }]);
      await expect(late).rejects.toMatchObject({ code: 'not_found' });
      await expect(lease.revoke()).resolves.toBeUndefined();
    });

    it('keeps a lease alive for longer than its TTL, and lets it run out once released', async () => {
      const at = place();
      const store = open();
      const lease = await store.grantLease(1_500);
      expect(lease.ttlMs % 1_000).toBe(0);
      expect(lease.ttlMs).toBeGreaterThanOrEqual(1_500);
      const grantedUntil = lease.safeUntil();
      expect(grantedUntil).toBeLessThanOrEqual(systemClock.monotonic() + lease.ttlMs);
      await store.txn([], [{ put: `${at}a`, value: 1, lease: lease.id }]);
      await vi.waitFor(() => expect(systemClock.monotonic()).toBeGreaterThan(grantedUntil + 600), {
        timeout: 8_000,
      });
      expect(await store.get(`${at}a`)).toBeDefined();
      expect(lease.safeUntil()).toBeGreaterThan(systemClock.monotonic());
      lease.release();
      const seen = follow(store, at, (await store.list(at)).revision + 1);
      await vi.waitFor(() => expect(seen.changes.map(label)).toEqual([`delete ${at}a`]), { timeout: 8_000 });
      // The promise of the contract: not gone before the holder knew it could be.
      expect(systemClock.monotonic()).toBeGreaterThanOrEqual(lease.safeUntil());
    });

    it('tells anybody what is left of a lease, without renewing it', async () => {
      const [holder, other] = [open(), open()];
      const lease = await holder.grantLease(3_000);
      lease.release();
      const found = await other.leaseLeft(lease.id);
      expect(found?.ttlMs).toBe(3_000);
      expect(found?.leftMs).toBeGreaterThanOrEqual(2_000);
      await vi.waitFor(async () => expect((await other.leaseLeft(lease.id))?.leftMs).toBeLessThan(2_000), {
        timeout: 4_000,
      });
      await vi.waitFor(async () => expect(await other.leaseLeft(lease.id)).toBeUndefined(), {
        timeout: 8_000,
      });
    });

    it('renews a lease as often as its holder wants', async () => {
      const store = open();
      const lease = await store.grantLease(60_000, { everyMs: 50 });
      const renewed = vi.fn();
      lease.onRenewed(renewed);
      // A fifth of its time would be 12 s.
      await vi.waitFor(() => expect(renewed.mock.calls.length).toBeGreaterThanOrEqual(3), { timeout: 8_000 });
      await lease.revoke();
    });

    it('hands a lease to another client that adopts it', async () => {
      const at = place();
      const [first, second] = [open(), open()];
      const lease = await first.grantLease(2_000);
      await first.txn([], [{ put: `${at}a`, value: 1, lease: lease.id }]);
      lease.release();
      const adopted = await second.adoptLease(lease.id);
      expect(adopted?.id).toBe(lease.id);
      expect(adopted?.ttlMs).toBe(lease.ttlMs);
      const firstUntil = lease.safeUntil();
      await vi.waitFor(() => expect(systemClock.monotonic()).toBeGreaterThan(firstUntil + 600), {
        timeout: 8_000,
      });
      expect(await second.get(`${at}a`)).toBeDefined();
      await adopted?.revoke();
      expect(await second.adoptLease(lease.id)).toBeUndefined();
    });

    it('tells the holder, once, when the lease is gone', async () => {
      const [holder, other] = [open(), open()];
      const lease = await holder.grantLease(2_000);
      const lost = vi.fn();
      lease.onLost(lost);
      const adopted = await other.adoptLease(lease.id);
      await adopted?.revoke();
      await vi.waitFor(() => expect(lost).toHaveBeenCalledTimes(1), { timeout: 4_000 });
      const late = vi.fn();
      lease.onLost(late);
      expect(late).toHaveBeenCalledTimes(1);
    });

    it('refuses everything once closed', async () => {
      const at = place();
      const store = open();
      const { revision } = await store.list(at);
      const seen = follow(store, at, revision + 1);
      await store.close();
      await expect(store.get(`${at}a`)).rejects.toMatchObject({ code: 'unavailable' });
      await expect(store.txn([], [{ put: `${at}a`, value: 1 }])).rejects.toMatchObject({
        code: 'unavailable',
      });
      expect(seen.lost).toEqual([]);
    });
  });
}
