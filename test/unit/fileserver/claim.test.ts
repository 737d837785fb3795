import { describe, expect, it } from 'vitest';
import { createMirror } from '../../../src/etcd/list-watch-mirror.ts';
import { createMemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Store } from '../../../src/etcd/store.ts';
import { type Claim, clearDeadClaim, takeClaim } from '../../../src/fileserver/claim.ts';
import type { FindDisk } from '../../../src/fileserver/disk-guard.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { vfileKeys } from '../../../src/vfile/keys.ts';

const volume = 'shared';

async function claimant(
  clock: ManualClock,
  store: Store,
  node: string,
  findDisk: FindDisk = async () => undefined,
): Promise<{ claim: Promise<Claim>; letGo: () => Promise<void>; die: () => void }> {
  const mirror = createMirror({ store, prefix: vfileKeys.volume(volume), clock, log: silentLog });
  await clock.settle();
  const lease = await store.grantLease(5_000);
  const signal = new AbortController().signal;
  const timeoutMs = 60_000;
  await clearDeadClaim({ volume, node, store, mirror, findDisk, log: silentLog });
  const claim = takeClaim({ volume, node, store, mirror, lease, clock, log: silentLog, timeoutMs, signal });
  claim.catch(() => undefined);
  return { claim, letGo: () => lease.revoke(), die: () => lease.release() };
}

async function createVolume(store: Store): Promise<void> {
  await store.txn([], [{ put: vfileKeys.spec(volume), value: { v: 1 } }]);
}

describe('the claim of a volume', () => {
  it('is held by one of many at a time, each with a new epoch', async () => {
    const clock = new ManualClock();
    const store = createMemoryStore({ clock });
    await createVolume(store);
    const all = [];
    for (const node of ['a', 'b', 'c', 'd']) all.push(await claimant(clock, store.client(), node));
    const holders: number[] = [];
    for (const { claim, letGo } of all) {
      void claim.then(async ({ epoch }) => {
        expect((await store.get(vfileKeys.claim(volume)))?.value).toMatchObject({ epoch });
        holders.push(epoch);
        await clock.sleep(1_000);
        await letGo();
      });
    }
    await clock.advance(500);
    expect(holders).toEqual([1]);
    await clock.advance(5_000);
    expect(holders).toEqual([1, 2, 3, 4]);
  });

  it('says nothing of whether the volume was served; what earlier versions have written does', async () => {
    const clock = new ManualClock();
    const store = createMemoryStore({ clock });
    await createVolume(store);
    const epoch = async () => (await store.get(vfileKeys.epoch(volume)))?.value;
    const one = await claimant(clock, store.client(), 'a');
    await clock.settle();
    expect([await epoch(), (await one.claim).servedBefore]).toEqual([
      { v: 1, epoch: 1, served: false },
      false,
    ]);
    await one.letGo();
    await store.txn([], [{ put: vfileKeys.epoch(volume), value: { v: 1, epoch: 7 } }]);
    const other = await claimant(clock, store.client(), 'b');
    await clock.settle();
    expect([await epoch(), (await other.claim).servedBefore]).toEqual([
      { v: 1, epoch: 8, served: true },
      true,
    ]);
  });

  describe('that a dead server has left', () => {
    const disk = '/vdvs/attachments/default/_vF_shared';
    const clock = new ManualClock();
    /** Its lease lives on; ms until another node has the claim. */
    async function takeover(
      node: string,
      { givenBack, lost = false }: { givenBack: boolean; lost?: boolean },
    ): Promise<number> {
      const store = createMemoryStore({ clock });
      await createVolume(store);
      const dead = await claimant(clock, store.client(), 'a');
      await clock.settle();
      const { condition } = await dead.claim;
      await store.txn([condition], [{ put: vfileKeys.server(volume), value: {} }]);
      dead.die();
      await store.txn([], [{ put: disk, value: {} }]);
      const { createRevision = 0 } = (await store.get(disk)) ?? {};
      if (lost) await store.txn([], [{ delete: disk }]);
      const began = clock.monotonic();
      let took = 0;
      const next = await claimant(clock, store.client(), node, async () => ({
        ...{ lease: undefined, condition: { key: disk, createRevision }, givenBack },
      }));
      void next.claim.then(({ epoch }) => {
        expect(epoch).toBe(2);
        took = clock.monotonic() - began;
      });
      await clock.advance(20_000);
      if (givenBack && !lost && node !== 'a') {
        expect(await store.get(vfileKeys.server(volume))).toBeUndefined();
      }
      await next.letGo();
      return took;
    }

    it('is taken away by a node that has the disk after it was given back', async () => {
      expect(await takeover('b', { givenBack: true })).toBeLessThan(1_000);
    });

    it.each([
      ['its disk was not given back', 'b', { givenBack: false }],
      ['the disk has gone on to yet another node', 'b', { givenBack: true, lost: true }],
      ['it was on the same node, where it may live with the same disk', 'a', { givenBack: true }],
    ])('runs out when %s', async (_why, node, how) => {
      expect(await takeover(node, how)).toBeGreaterThan(3_000);
    });
  });

  it('is found to be taken when the answer to taking it was lost', async () => {
    const clock = new ManualClock();
    const data = createMemoryStore({ clock });
    await createVolume(data);
    const store: Store = Object.create(data.client());
    const real = data.client();
    let lost = 0;
    for (const name of ['get', 'list', 'watch', 'grantLease'] as const) {
      Object.defineProperty(store, name, { value: real[name].bind(real) });
    }
    store.txn = async (...args) => {
      const result = await real.txn(...args);
      lost += 1;
      if (lost === 1) throw new VolumeError('unavailable', 'the member died');
      return result;
    };
    const { claim } = await claimant(clock, store, 'a');
    await clock.advance(1_000);
    expect((await claim).epoch).toBe(1);
    expect(lost).toBe(1);
  });

  it('is not given for a volume that is gone', async () => {
    const clock = new ManualClock();
    const { claim } = await claimant(clock, createMemoryStore({ clock }), 'a');
    await clock.advance(100);
    await expect(claim).rejects.toMatchObject({ code: 'not_found' });
  });
});
