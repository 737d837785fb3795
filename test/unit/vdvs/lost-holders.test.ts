import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Lease } from '../../../src/etcd/store.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { ManualClock } from '../../../src/lib/manual-clock.ts';
import { marginMs, type ServiceWorld, type TwoServices, twoServices } from './service-fixture.ts';

const never = new AbortController().signal;

describe('volumes whose holder was lost', () => {
  let two: TwoServices;
  let world: ServiceWorld;
  let id: TwoServices['id'];
  let annLease: Lease;
  let bobLease: Lease;
  let service: TwoServices['service'];
  let create: TwoServices['create'];
  let attach: TwoServices['attach'];
  let clock: ManualClock;
  let store: MemoryStore;
  let disks: ServiceWorld['ds'];
  let ann: ServiceWorld['ann'];
  let bob: ServiceWorld['bob'];

  beforeEach(async () => {
    two = await twoServices();
    ({ world, id, annLease, bobLease, service, create, attach } = two);
    ({ clock, store, ds: disks, ann, bob } = world);
  });
  afterEach(() => two.end());

  it('grants after the loss of the holder only when its lease and the margin have passed', async () => {
    await create();
    await attach(ann, annLease);
    annLease.release();
    let granted = 0;
    const waiting = attach(bob, bobLease, 20_000, 1).then((grant) => {
      granted = clock.monotonic();
      return grant;
    });
    await clock.advance(7_000);
    expect(await waiting).toMatchObject({ epoch: 2, clean: false });
    expect(granted).toBeGreaterThanOrEqual(5_000 + marginMs);
  });

  it('ends the wait for the margin as whoever waits hangs up', async () => {
    await create();
    await attach(ann, annLease);
    await annLease.revoke();
    const hangUp = new AbortController();
    const request = { lease: bobLease.id, waitMs: 20_000 };
    const waiting = world.service().attachments.attach(bob, id, request, hangUp.signal);
    const outcome = expect(waiting).rejects.toThrow('hung up');
    await clock.advance(marginMs / 2);
    hangUp.abort(new VolumeError('unavailable', 'the caller hung up'));
    await clock.advance(marginMs);
    await outcome;
    expect((await service().volumes.get(id)).attached).toBeUndefined();
  });

  it('leaves a lost holder behind instead, and waits for nothing but its lease', async () => {
    await create();
    await attach(ann, annLease);
    annLease.release();
    disks.places.next = true;
    let granted = 0;
    const waiting = attach(bob, bobLease, 20_000, 1).then((grant) => {
      granted = clock.monotonic();
      return grant;
    });
    await clock.advance(7_000);
    expect(await waiting).toMatchObject({ epoch: 2, clean: false, record: { extent: 'v.vmdk~2' } });
    expect(granted).toBeLessThan(5_000 + marginMs);
    // The same holder asks again.
    expect(await attach(bob, bobLease)).toMatchObject({ epoch: 2, record: { extent: 'v.vmdk~2' } });
    await service().attachments.detach(bob, id, 2, true);
    expect(await attach(ann, bobLease)).toMatchObject({ epoch: 3, record: { extent: 'v.vmdk~2' } });
    expect(disks.places.made).toEqual(['v.vmdk~2']);
  });

  describe('while somebody waits for a volume whose holder’s lease runs low', () => {
    let waiting: Promise<unknown>;
    let ended: AbortController;
    beforeEach(async () => {
      await create();
      await attach(ann, annLease);
      annLease.release();
      disks.places.next = true;
      ended = new AbortController();
      const request = { lease: bobLease.id, waitMs: 30_000 };
      waiting = service(1).attachments.attach(bob, id, request, ended.signal);
      waiting.catch(() => undefined);
      await clock.advance(2_000);
      expect(disks.places.made).toEqual([]);
      await clock.advance(2_000);
      expect(disks.places.made).toEqual(['v.vmdk~2']);
    });

    it('copies it ahead, and goes on there when nothing was written since', async () => {
      // Nothing more could be copied: what is there was made ahead.
      disks.places.next = false;
      await clock.advance(1_500);
      expect(await waiting).toMatchObject({ epoch: 2, record: { extent: 'v.vmdk~2' } });
      await clock.advance(60_000);
      expect(disks.places.made).toEqual(['v.vmdk~2']);
    });

    it('copies it again when it was written to since', async () => {
      disks.write('v.vmdk', 'acknowledged');
      let copies = 0;
      disks.places.onMade = () => {
        copies += 1;
      };
      await clock.advance(1_500);
      expect(await waiting).toMatchObject({ epoch: 2, record: { extent: 'v.vmdk~2' } });
      expect(copies).toBe(1);
      expect(disks.places.made).toEqual(['v.vmdk~2']);
    });

    it('takes its copy back when the holder came back', async () => {
      const back = await store.client().adoptLease(annLease.id);
      await clock.advance(10_000);
      ended.abort(new VolumeError('unavailable', 'the caller hung up'));
      await expect(waiting).rejects.toThrow('hung up');
      await clock.advance(60_000);
      expect(disks.places.made).toEqual([]);
      back?.release();
    });

    it('does not go on in a copy of another epoch', async () => {
      ended.abort(new VolumeError('unavailable', 'the caller hung up'));
      await expect(waiting).rejects.toThrow('hung up');
      await service().attachments.detach(ann, id, 1, true);
      const cat = { node: 'node-c', host: 'cat' };
      const catLease = await store.client().grantLease(5_000);
      expect(await attach(cat, catLease, 0, 0)).toMatchObject({ epoch: 2 });
      await catLease.revoke();
      expect(await attach(bob, bobLease, 0, 1)).toMatchObject({ epoch: 3, record: { extent: 'v.vmdk~3' } });
      expect(disks.places.made).toEqual(['v.vmdk~3']);
    });
  });

  it('copies nothing ahead of a disk that is written to, and looks at no lease when nobody waits', async () => {
    await create();
    await attach(ann, annLease);
    annLease.release();
    disks.places.next = true;
    await clock.advance(3_000);
    const waiting = attach(bob, bobLease, 30_000, 1);
    for (let ms = 0; ms < 1_500; ms += 50) {
      disks.write('v.vmdk', String(ms));
      await clock.advance(50);
    }
    expect(disks.places.made).toEqual([]);
    await clock.advance(1_000);
    expect(await waiting).toMatchObject({ epoch: 2, record: { extent: 'v.vmdk~2' } });
  });

  it('does not try again what would have taken too long ahead of the loss', async () => {
    await create();
    await attach(ann, annLease);
    annLease.release();
    const waiting = attach(bob, bobLease, 30_000, 1);
    await clock.advance(4_000);
    disks.places.next = true;
    await clock.advance(1_200 + marginMs);
    expect((await waiting).record.extent).toBeUndefined();
    expect(disks.places.made).toEqual([]);
  });

  it('waits the margin when there is no room to leave a lost holder behind', async () => {
    await create();
    await attach(ann, annLease);
    await annLease.revoke();
    disks.failures.push(new VolumeError('no_space', 'full'));
    const waiting = attach(bob, bobLease, 20_000);
    await clock.advance(marginMs);
    expect((await waiting).record.extent).toBeUndefined();
  });

  it('takes its copy back when the caller has hung up meanwhile', async () => {
    await create();
    await attach(ann, annLease);
    await annLease.revoke();
    disks.places.next = true;
    const gone = new AbortController();
    disks.places.onMade = () => gone.abort(new VolumeError('unavailable', 'the caller hung up'));
    const request = { lease: bobLease.id, waitMs: 0 };
    await expect(service().attachments.attach(bob, id, request, gone.signal)).rejects.toThrow('hung up');
    expect(disks.places.made).toEqual([]);
    expect((await service().volumes.get(id)).attached).toBeUndefined();
  });

  it('of two who leave a lost holder behind at once one gets the disk, the other takes its copy back', async () => {
    await create();
    await attach(ann, annLease);
    await annLease.revoke();
    disks.places.next = true;
    const both = [attach(bob, bobLease, 0, 0), attach({ node: 'node-c', host: 'cat' }, bobLease, 0, 1)];
    const ended = await Promise.allSettled(both);
    expect(ended.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(disks.places.made).toHaveLength(1);
  });

  it.each([
    [new VolumeError('denied', 'no access'), 0],
    [new VolumeError('not_found', 'lease gone'), 0],
    // Nobody knows whether the record names the copy now: whoever deletes it might delete the disk.
    [new VolumeError('unavailable', 'no answer'), 1],
    [new VolumeError('timeout', 'no answer'), 1],
  ])('a copy that %s is the answer to: %d are kept', async (failure, kept) => {
    await create();
    await attach(ann, annLease);
    await annLease.revoke();
    disks.places.next = true;
    const failing = world.service({
      gate: { ...world.gate(), commitAttach: () => Promise.reject(failure) },
    }).attachments;
    const request = { lease: bobLease.id, waitMs: 0 };
    await expect(failing.attach(bob, id, request, never)).rejects.toThrow();
    expect(disks.places.made).toHaveLength(kept);
  });

  it('goes on with the copy when only the answer to the takeover was lost', async () => {
    await create();
    await attach(ann, annLease);
    await annLease.revoke();
    disks.places.next = true;
    const gate = world.gate();
    const deaf = world.service({
      gate: {
        ...gate,
        async commitAttach(...change) {
          await gate.commitAttach(...change);
          throw new VolumeError('unavailable', 'whether it was done is not known');
        },
      },
    }).attachments;
    const request = { lease: bobLease.id, waitMs: 0 };
    await expect(deaf.attach(bob, id, request, never)).rejects.toMatchObject({ code: 'unavailable' });
    expect(await attach(bob, bobLease)).toMatchObject({ epoch: 2, record: { extent: 'v.vmdk~2' } });
    expect(disks.places.made).toEqual(['v.vmdk~2']);
  });

  describe('when the lost holder says in the datastore that it has let go', () => {
    let waiting: ReturnType<typeof attach>;
    let granted: number;
    const wait = () => {
      disks.places.next = true;
      granted = Number.POSITIVE_INFINITY;
      waiting = attach(bob, bobLease, 20_000, 1).then((grant) => {
        granted = clock.monotonic();
        return grant;
      });
    };
    beforeEach(async () => {
      await create();
      await attach(ann, annLease);
      annLease.release();
    });

    it('gives the disk on where it is, before the lease has run out', async () => {
      wait();
      await clock.advance(3_500);
      disks.released.add('v.vmdk 1');
      await clock.advance(1_000);
      expect(await waiting).toMatchObject({ epoch: 2, clean: false });
      expect((await waiting).record.extent).toBeUndefined();
      expect(granted).toBeLessThan(5_000);
      expect((await service().volumes.get(id)).attached).toMatchObject({ host: 'bob' });
      await clock.advance(60_000);
      expect(disks.places.made).toEqual([]);
    });

    it.each([
      { says: 'does not say what the lease has left', left: () => new Promise<undefined>(() => undefined) },
      {
        says: 'says that the lease is gone, and has not deleted what hangs on it',
        left: async () => undefined,
      },
    ])('does so too while the store $says', async ({ left }) => {
      const slow = store.client();
      const ask = slow.leaseLeft.bind(slow);
      const request = { lease: bobLease.id, waitMs: 20_000 };
      const waits = world.service({ store: slow }).attachments.attach(bob, id, request, never);
      let since = Number.POSITIVE_INFINITY;
      const grant = waits.then((given) => {
        since = clock.monotonic();
        return given;
      });
      await clock.advance(2_000);
      expect((await ask(annLease.id))?.leftMs).toBeGreaterThan(1_700);
      slow.leaseLeft = left;
      disks.released.add('v.vmdk 1');
      await clock.advance(2_500);
      expect(await grant).toMatchObject({ epoch: 2 });
      expect(since).toBeLessThan(4_500);
    });

    it('takes no notice of what an earlier holder said, or one that still renews its lease', async () => {
      disks.released.add('v.vmdk 0');
      const back = await store.client().adoptLease(annLease.id);
      disks.released.add('v.vmdk 1');
      wait();
      await clock.advance(10_000);
      expect(granted).toBe(Number.POSITIVE_INFINITY);
      expect((await service().volumes.get(id)).attached).toMatchObject({ host: 'ann' });
      disks.released.delete('v.vmdk 1');
      back?.release();
      await clock.advance(7_000);
      expect(await waiting).toMatchObject({ epoch: 2, record: { extent: 'v.vmdk~2' } });
    });

    it('ends nobody else’s attachment when the word comes late', async () => {
      wait();
      await clock.advance(3_500);
      const back = await store.client().adoptLease(annLease.id);
      expect((await attach(ann, bobLease)).epoch).toBe(2);
      disks.released.add('v.vmdk 1');
      await clock.advance(2_500);
      expect((await service().volumes.get(id)).attached).toMatchObject({ host: 'ann', epoch: 2 });
      back?.release();
      await service().attachments.detach(ann, id, 2, true);
      await clock.advance(100);
      expect(await waiting).toMatchObject({ epoch: 3 });
    });

    it('needs no copy, also when that is under way, and no margin', async () => {
      await annLease.revoke();
      let finish = () => {};
      disks.places.making = new Promise((resolve) => {
        finish = resolve;
      });
      wait();
      await clock.advance(400);
      expect(granted).toBe(Number.POSITIVE_INFINITY);
      disks.released.add('v.vmdk 1');
      await clock.advance(300);
      expect((await waiting).record.extent).toBeUndefined();
      expect(granted).toBeLessThan(marginMs + 400);
      finish();
      await clock.settle();
      expect(disks.places.made).toEqual([]);
    });

    it('needs no copy that was begun ahead of the loss and is not done', async () => {
      disks.places.making = new Promise(() => {});
      wait();
      await clock.advance(5_400);
      expect(granted).toBe(Number.POSITIVE_INFINITY);
      disks.released.add('v.vmdk 1');
      await clock.advance(300);
      expect(await waiting).toMatchObject({ epoch: 2 });
      expect((await waiting).record.extent).toBeUndefined();
    });

    it('is given as without a word when the datastore cannot be asked for it', async () => {
      disks.backend.hasReleaseNote = () => Promise.reject(new VolumeError('unavailable', 'no answer'));
      wait();
      await clock.advance(7_000);
      expect(await waiting).toMatchObject({ epoch: 2, record: { extent: 'v.vmdk~2' } });
    });
  });
});
