import { beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import { createKeyedQueue } from '../../../src/lib/keyed-queue.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import type { Self, VolumeView } from '../../../src/vdvs/api.ts';
import type { BlockVolumes } from '../../../src/vdvs/node/block-volumes.ts';
import { createDefaultDatastore } from '../../../src/vdvs/node/default-datastore.ts';
import type { Deferred } from '../../../src/vdvs/node/deferred.ts';
import { createEndUse } from '../../../src/vdvs/node/end-use.ts';
import { isLive, type LiveMount, type MountTable } from '../../../src/vdvs/node/mount-table.ts';
import { createVdvsDriver } from '../../../src/vdvs/node/vdvs-driver.ts';
import type { ServiceClient } from '../../../src/vdvs/service-client.ts';
import type { VolumeId } from '../../../src/vdvs/types.ts';

const none = async () => Promise.reject(new VolumeError('unavailable', 'not here'));

describe('the default datastore of a node', () => {
  let clock: ManualClock;
  let answer: () => Promise<Self>;
  let asked: number;
  const make = () =>
    createDefaultDatastore({
      client: {
        self: () => {
          asked += 1;
          return answer();
        },
      },
      configured: 'configured',
      clock,
    });
  const says = (defaultDatastore: string) => async () => ({ vmgroup: 'G', defaultDatastore });

  beforeEach(() => {
    clock = new ManualClock();
    asked = 0;
  });

  it('is what the service says, asked anew after some seconds', async () => {
    answer = says('fast');
    const datastore = make();
    expect(await datastore.current()).toBe('fast');
    answer = says('slow');
    expect(await datastore.current()).toBe('fast');
    expect(asked).toBe(1);
    await clock.advance(10_000);
    expect(await datastore.current()).toBe('slow');
  });

  it('is never guessed', async () => {
    answer = none;
    await expect(make().current()).rejects.toThrow('not here');
  });

  it('stays what it was while the service fails or is silent', async () => {
    answer = says('fast');
    const datastore = make();
    await datastore.current();
    await clock.advance(10_000);
    answer = none;
    expect(await datastore.current()).toBe('fast');
    await clock.advance(10_000);
    answer = () => new Promise<Self>(() => undefined);
    const waiting = datastore.current();
    await clock.advance(1_000);
    expect(await waiting).toBe('fast');
  });

  it('is the configured one before there were vmgroups', async () => {
    answer = async () => Promise.reject(new VolumeError('invalid', 'GET /v1/self is not part of this API'));
    expect(await make().current()).toBe('configured');
  });
});

describe('names without a datastore', () => {
  it('keep their meaning for what is mounted when the default changes', async () => {
    const state = { datastore: 'fast' };
    const mounts = new Map<string, LiveMount>();
    const key = ({ datastore, name }: VolumeId) => `${name}@${datastore}`;
    const table: MountTable = {
      get: (id) => mounts.get(key(id)),
      all: () => [...mounts.values()],
      use: (id) => mounts.get(key(id)),
      uses: () => [...mounts.values()],
      put: async (use) => void (isLive(use) && mounts.set(key(use), use)),
      delete: async (id) => void mounts.delete(key(id)),
    };
    const closed: string[] = [];
    const volumes: BlockVolumes = {
      mountpoint: key,
      usable: async () => true,
      open: async (id) => ({
        ...id,
        epoch: 1,
        lease: '1',
        device: '/dev/loop9',
        mountpoint: `/mnt/${key(id)}`,
        fstype: 'ext4',
        ids: {},
        inherited: new Map(),
      }),
      openGranted: none,
      close: async (mount) => void closed.push(key(mount)),
      abandon: none,
      handOver: none,
      retire: none,
      release: none,
    };
    const client: ServiceClient = {
      self: none,
      create: none,
      get: async () => undefined,
      list: async (): Promise<VolumeView[]> => [],
      remove: none,
      attach: none,
      attachOnce: none,
      detach: none,
      formatted: none,
    };
    const deferred: Deferred = {
      wait: () => undefined,
      asking: () => false,
      callOff: () => undefined,
      reason: () => undefined,
      leftBehind: none,
      stop: () => undefined,
    };
    const placeholders = { place: none, remove: none };
    const noted = { volumes, table, placeholders, deferred, datastores: new Map(), log: silentLog };
    const driver = createVdvsDriver({
      ...noted,
      client,
      endUse: createEndUse(noted),
      queue: createKeyedQueue(),
      leaseSignal: () => new AbortController().signal,
      defaultDatastore: { current: async () => state.datastore },
      configuredDatastore: 'common',
      attachMs: 1_000,
      clock: new ManualClock(),
    });
    expect(await driver.mount('db', 'id1')).toBe('/mnt/db@fast');
    state.datastore = 'slow';
    expect(await driver.mount('db', 'id2')).toBe('/mnt/db@slow');
    await driver.unmount('db', 'id1');
    expect(closed).toEqual(['db@fast']);
    await driver.unmount('db@slow', 'id2');
    expect(closed).toEqual(['db@fast', 'db@slow']);
    // Whatever group the node is in: a file server has to find it on each.
    expect(await driver.mount('_vF_shared', 'id3')).toBe('/mnt/_vF_shared@common');
  });
});
