import { describe, expect, it } from 'vitest';
import { createMirror } from '../../../src/etcd/list-watch-mirror.ts';
import { createMemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Store } from '../../../src/etcd/store.ts';
import { type Claim, takeClaim } from '../../../src/fileserver/claim.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { vfileKeys } from '../../../src/vfile/keys.ts';

const volume = 'shared';

async function claimant(
  clock: ManualClock,
  store: Store,
  node: string,
): Promise<{ claim: Promise<Claim>; letGo: () => Promise<void> }> {
  const mirror = createMirror({ store, prefix: vfileKeys.volume(volume), clock, log: silentLog });
  await clock.settle();
  const lease = await store.grantLease(5_000);
  const signal = new AbortController().signal;
  const timeoutMs = 60_000;
  const claim = takeClaim({ volume, node, store, mirror, lease, clock, log: silentLog, timeoutMs, signal });
  claim.catch(() => undefined);
  return { claim, letGo: () => lease.revoke() };
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
