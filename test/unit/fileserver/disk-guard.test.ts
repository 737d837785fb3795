import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMemoryStore, type MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Lease } from '../../../src/etcd/store.ts';
import { guardDisk } from '../../../src/fileserver/disk-guard.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { findDiskHold } from '../../../src/vdvs/disk-hold.ts';
import { vdvsKeys } from '../../../src/vdvs/keys.ts';
import type { Attachment } from '../../../src/vdvs/types.ts';

describe('the guard of a server’s disk', () => {
  let clock: ManualClock;
  let store: MemoryStore;
  let lease: Lease;
  let reasons: string[];
  let stop: () => void;

  const attach = async (name: string, node: string, of: Lease) => {
    const attachment: Attachment = {
      ...{ v: 1, node, host: node, epoch: 1, access: 'read-write', since: '2026-01-01T00:00:00.000Z' },
    };
    const key = vdvsKeys.attachment({ datastore: 'default', name });
    await store.txn([], [{ put: key, value: attachment, lease: of.id }]);
  };
  const guard = () => {
    const kill = (reason: string) => void reasons.push(reason);
    const findDisk = () => findDiskHold(store, '_vF_v', 'node-a');
    stop = guardDisk({ store, findDisk, clock, log: silentLog, kill });
  };

  beforeEach(async () => {
    clock = new ManualClock();
    store = createMemoryStore({ clock });
    lease = await store.client().grantLease(6_000, { everyMs: 500 });
    reasons = [];
    stop = () => undefined;
  });
  afterEach(() => {
    stop();
    lease.release();
  });

  it.each(['_vF_v', '0123abcd+_vF_v'])(
    'lets the server of %s live while its lease is renewed',
    async (name) => {
      await attach(name, 'node-a', lease);
      guard();
      await clock.advance(60_000);
      expect(reasons).toEqual([]);
    },
  );

  it.each(['_vF_v', '0123abcd+_vF_v'])(
    'kills the server of %s before the lease has run out',
    async (name) => {
      await attach(name, 'node-a', lease);
      guard();
      lease.release();
      await clock.advance(3_500);
      expect(reasons).toEqual([]);
      await clock.advance(2_000);
      expect(reasons).toEqual([expect.stringMatching(/runs out in 1000 ms/)]);
      await clock.advance(10_000);
      expect(reasons).toHaveLength(1);
    },
  );

  it('kills the server when the lease was taken away', async () => {
    await attach('_vF_v', 'node-a', lease);
    guard();
    await clock.advance(1_000);
    store.dropLease(lease.id);
    await clock.advance(600);
    expect(reasons).toEqual([expect.stringMatching(/is gone/)]);
  });

  it('leaves that to the server’s own lease when etcd is out of reach', async () => {
    await attach('_vF_v', 'node-a', lease);
    guard();
    await clock.advance(1_000);
    store.goOffline();
    await clock.advance(20_000);
    expect(reasons).toEqual([]);
    store.goOnline();
    await clock.advance(1_000);
    expect(reasons).toEqual([]);
  });

  it('has nothing to guard for a disk of another driver, node or volume', async () => {
    const other = await store.client().grantLease(2_000);
    await attach('_vF_v', 'node-b', other);
    await attach('_vF_vv', 'node-a', other);
    guard();
    other.release();
    await clock.advance(10_000);
    expect(reasons).toEqual([]);
  });

  it('does nothing once it is stopped', async () => {
    await attach('_vF_v', 'node-a', lease);
    guard();
    await clock.advance(1_000);
    stop();
    store.dropLease(lease.id);
    await clock.advance(5_000);
    expect(reasons).toEqual([]);
  });
});
