import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MemoryStore } from '../../../src/etcd/memory-store.ts';
import type { Lease } from '../../../src/etcd/store.ts';
import type { ManualClock } from '../../../src/lib/manual-clock.ts';
import { vdvsKeys } from '../../../src/vdvs/keys.ts';
import { type ServiceWorld, type TwoServices, twoServices } from './service-fixture.ts';

const never = new AbortController().signal;

describe('attachments of the vDVS service', () => {
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

  it('gives an attachment to one of two that ask at once', async () => {
    await create();
    const both = await Promise.allSettled([attach(ann, annLease, 0, 0), attach(bob, bobLease, 0, 1)]);
    expect(both.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  it('answers the same holder with the same grant, and with a new one for a new lease', async () => {
    await create();
    const first = await attach(ann, annLease);
    expect(first).toMatchObject({ epoch: 1, location: { file: 'v.vmdk' } });
    expect((await attach(ann, annLease)).epoch).toBe(1);
    const other = await store.client().grantLease(5_000);
    expect((await attach(ann, other)).epoch).toBe(2);
    other.release();
  });

  it('names the holder when it does not let go in time', async () => {
    await create();
    await attach(ann, annLease);
    const waiting = attach(bob, bobLease, 1_000);
    const refused = expect(waiting).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringContaining('attached to ann since'),
    });
    await clock.advance(1_001);
    await refused;
  });

  it('grants at once after a clean detach, without a word about a check', async () => {
    await create();
    const { epoch } = await attach(ann, annLease);
    const waiting = attach(bob, bobLease, 10_000, 1);
    await clock.settle();
    await service().attachments.detach(ann, id, epoch, true);
    await clock.settle();
    expect(await waiting).toMatchObject({ epoch: 2, clean: true });
  });

  it('takes a holder for lost by no look that fell in the middle of its detach', async () => {
    await create();
    const { epoch } = await attach(ann, annLease);
    const leaveBehind = vi.spyOn(disks.backend, 'leaveBehind');
    const client = store.client();
    let detached = false;
    // The volume's record is read before the detach, its attachment after it.
    const between = new Proxy(client, {
      get: (target, name) => {
        if (name !== 'get') return Reflect.get(target, name).bind(target);
        return async (key: string) => {
          if (key === vdvsKeys.attachment(id) && !detached) {
            detached = true;
            await service().attachments.detach(ann, id, epoch, true);
          }
          return await target.get(key);
        };
      },
    });
    const torn = world.service({ store: between });
    const grant = await torn.attachments.attach(bob, id, { lease: bobLease.id, waitMs: 0 }, never);
    expect(grant).toMatchObject({ epoch: 2, clean: true });
    expect([detached, leaveBehind.mock.calls]).toEqual([true, []]);
  });

  describe('when this service has just taken it back', () => {
    let reads: number;
    let mine: ReturnType<ServiceWorld['service']>;
    const again = (who: typeof ann, lease: Lease) =>
      mine.attachments.attach(who, id, { lease: lease.id, waitMs: 0 }, never);
    beforeEach(async () => {
      const counted = store.client();
      const get = counted.get.bind(counted);
      counted.get = (key) => {
        reads += 1;
        return get(key);
      };
      mine = world.service({ store: counted });
      await mine.volumes.create(ann, id, {});
      const { epoch } = await again(ann, annLease);
      await mine.attachments.detach(ann, id, epoch, true);
      reads = 0;
    });

    it('gives it out again without a look at the store', async () => {
      expect(await again(bob, bobLease)).toMatchObject({ epoch: 2, clean: true });
      expect(reads).toBe(0);
    });

    it('looks after all when that was a while ago', async () => {
      await clock.advance(31_000);
      expect(await again(bob, await store.client().grantLease(5_000))).toMatchObject({ epoch: 2 });
      expect(reads).toBe(2);
    });

    it.each([
      [
        'had it since',
        async () => service().attachments.detach(bob, id, (await attach(bob, bobLease)).epoch, true),
      ],
      ['has given it to another node', async () => void (await attach(bob, bobLease))],
    ])('looks at the store when another service %s', async (_what, meanwhile) => {
      await meanwhile();
      const held = (await service().volumes.get(id)).attached;
      const asked = again(ann, annLease);
      if (held) await expect(asked).rejects.toMatchObject({ code: 'busy' });
      else expect(await asked).toMatchObject({ epoch: 3, clean: true });
      expect(reads).toBeGreaterThan(0);
    });

    it('does not find a volume that another service has removed since', async () => {
      await service().volumes.remove(id);
      await expect(again(bob, bobLease)).rejects.toMatchObject({ code: 'not_found' });
    });
  });

  describe('of a volume that is probably meant', () => {
    const attachFree = async (who: typeof ann, lease: Lease) =>
      service().attachments.attachFree(who, id, { lease: lease.id }, await service().attachments.look(id));

    it('is given when it is free and was left clean', async () => {
      expect(await attachFree(ann, annLease)).toBeUndefined();
      await create();
      expect(await attachFree(ann, annLease)).toMatchObject({ epoch: 1 });
    });

    it('is not given out of its holder’s hands, nor after a holder that was lost', async () => {
      await create();
      await attach(ann, annLease);
      expect(await attachFree(bob, bobLease)).toBeUndefined();
      await annLease.revoke();
      await clock.settle();
      expect(await attachFree(bob, bobLease)).toBeUndefined();
    });

    it('is not given by a look that is out of date, nor on a lease that is gone', async () => {
      await create();
      const early = await service().attachments.look(id);
      const { epoch } = await attach(bob, bobLease);
      const late = () => service(1).attachments.attachFree(ann, id, { lease: annLease.id }, early);
      expect(await late()).toBeUndefined();
      await service().attachments.detach(bob, id, epoch, true);
      expect(await late()).toBeUndefined();
      await annLease.revoke();
      await expect(attachFree(ann, annLease)).rejects.toMatchObject({ code: 'conflict' });
    });
  });

  it('asks for a check after an unclean detach', async () => {
    await create();
    const { epoch } = await attach(ann, annLease);
    await service().attachments.detach(ann, id, epoch, false);
    expect(await attach(bob, bobLease)).toMatchObject({ epoch: 2, clean: false });
  });

  it('grants nothing on a lease that is gone', async () => {
    await create();
    await annLease.revoke();
    await expect(attach(ann, annLease)).rejects.toMatchObject({
      code: 'conflict',
      message: 'volume v@ds: the host’s lease is gone',
    });
    expect((await service().volumes.get(id)).attached).toBeUndefined();
  });

  it('ignores a detach that comes late', async () => {
    await create();
    const { epoch } = await attach(ann, annLease);
    await service().attachments.detach(ann, id, epoch, true);
    await attach(bob, bobLease);
    await service().attachments.detach(ann, id, epoch, true);
    await service().attachments.detach(bob, id, epoch, true);
    expect((await service().volumes.get(id)).attached).toMatchObject({ host: 'bob', epoch: 2 });
  });

  it('ignores a detach of a volume that was made anew under its name since', async () => {
    await create();
    const { epoch, record } = await attach(ann, annLease);
    await service().attachments.detach(ann, id, epoch, true, record.createdAt);
    await service().volumes.remove(id);
    await clock.advance(1_000);
    await create();
    const anew = await attach(ann, annLease);
    expect(anew.epoch).toBe(epoch);
    await service().attachments.detach(ann, id, epoch, true, record.createdAt);
    expect((await service().volumes.get(id)).attached).toMatchObject({ host: 'ann' });
    await service().attachments.detach(ann, id, epoch, true, anew.record.createdAt);
    expect((await service().volumes.get(id)).attached).toBeUndefined();
  });

  it('lets only the holder say that the file system is made', async () => {
    await create();
    const { epoch } = await attach(ann, annLease);
    await expect(service().attachments.formatted(bob, id, epoch)).rejects.toMatchObject({ code: 'conflict' });
    await service().attachments.formatted(ann, id, epoch);
    await service(1).attachments.formatted(ann, id, epoch);
    expect((await service().volumes.get(id)).record.formatted).toBe(true);
  });

  it('grants nothing to a caller that hung up', async () => {
    await create();
    await attach(ann, annLease);
    const gone = new AbortController();
    const waiting = service().attachments.attach(
      bob,
      id,
      { lease: bobLease.id, waitMs: 60_000 },
      gone.signal,
    );
    const refused = expect(waiting).rejects.toThrow();
    await clock.settle();
    gone.abort();
    await refused;
    expect((await service().volumes.get(id)).attached?.host).toBe('ann');
  });
});
