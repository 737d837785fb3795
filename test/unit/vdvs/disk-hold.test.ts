import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMirror } from '../../../src/etcd/list-watch-mirror.ts';
import type { Lease } from '../../../src/etcd/store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { findDiskHold, followDiskHold } from '../../../src/vdvs/disk-hold.ts';
import { vdvsKeys } from '../../../src/vdvs/keys.ts';
import { ServiceWorld } from './service-fixture.ts';

describe('how a node has a disk', () => {
  let world: ServiceWorld;
  let annLease: Lease;
  let bobLease: Lease;
  const never = new AbortController().signal;
  const attach = (who: ServiceWorld['ann'], lease: Lease) =>
    world.service().attachments.attach(who, world.id('_vF_v'), { lease: lease.id, waitMs: 0 }, never);
  const detach = (who: ServiceWorld['ann'], epoch: number, clean: boolean) =>
    world.service().attachments.detach(who, world.id('_vF_v'), epoch, clean);
  const hold = (who: ServiceWorld['ann']) => findDiskHold(world.store.client(), '_vF_v', who.node);

  beforeEach(async () => {
    world = new ServiceWorld();
    annLease = await world.store.client().grantLease(5_000);
    bobLease = await world.store.client().grantLease(5_000);
    await world.service().volumes.create(world.ann, world.id('_vF_v'), {});
  });
  afterEach(() => {
    annLease.release();
    bobLease.release();
  });

  it('is nothing for a node without it', async () => {
    expect(await hold(world.ann)).toBeUndefined();
    await attach(world.ann, annLease);
    expect(await hold(world.bob)).toBeUndefined();
    expect(await hold(world.ann)).toMatchObject({ lease: annLease.id });
  });

  it.each([true, false])('knows whether the last holder gave it back: %s', async (clean) => {
    const { epoch } = await attach(world.ann, annLease);
    await detach(world.ann, epoch, clean);
    await attach(world.bob, bobLease);
    expect(await hold(world.bob)).toMatchObject({ lease: bobLease.id, givenBack: clean });
  });

  it('does not take an earlier holder for the last one', async () => {
    await detach(world.ann, (await attach(world.ann, annLease)).epoch, true);
    await detach(world.bob, (await attach(world.bob, bobLease)).epoch, false);
    await attach(world.ann, annLease);
    expect(await hold(world.ann)).toMatchObject({ givenBack: false });
  });

  it('is told when it begins and ends, and not when another volume or node has its turn', async () => {
    const { clock, store } = world;
    const mirror = createMirror({ store, prefix: vdvsKeys.attachments, clock, log: silentLog });
    await world.service().volumes.create(world.ann, world.id('_vF_v2'), {});
    const told: boolean[] = [];
    const unfollow = followDiskHold(mirror, '_vF_v', world.ann.node, (ours) => told.push(ours));
    await world
      .service()
      .attachments.attach(world.ann, world.id('_vF_v2'), { lease: annLease.id, waitMs: 0 }, never);
    await detach(world.bob, (await attach(world.bob, bobLease)).epoch, true);
    await clock.settle();
    expect(told).toEqual([]);
    const { epoch } = await attach(world.ann, annLease);
    await clock.settle();
    expect(told).toEqual([true]);
    await detach(world.ann, epoch, true);
    await clock.settle();
    expect(told).toEqual([true, false]);
    unfollow();
    await attach(world.ann, annLease);
    await clock.settle();
    expect(told).toHaveLength(2);
    mirror.stop();
  });

  it('has a condition that ends with it', async () => {
    const { epoch } = await attach(world.ann, annLease);
    const found = await hold(world.ann);
    const holds = async () =>
      (await world.store.txn(found ? [found.condition] : [], [{ put: '/probe', value: 1 }])).done;
    expect(await holds()).toBe(true);
    await detach(world.ann, epoch, true);
    await attach(world.bob, bobLease);
    expect(await holds()).toBe(false);
  });
});
