import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import type { VolumeDriver } from '../../../../src/plugin/volume-driver.ts';
import { createKnownDriver } from '../../../../src/vfile/node/known-driver.ts';
import { settled } from './one-node.ts';

const real: VolumeDriver = {
  create: async () => undefined,
  remove: async () => undefined,
  mount: async () => '/real',
  unmount: async () => undefined,
  path: async () => '/real',
  get: async () => undefined,
  list: async () => [],
};

describe('a plugin that has only just started', () => {
  const subject = (known: Record<string, string>) => {
    const clock = new ManualClock();
    const driver = createKnownDriver({
      clock,
      known: () => known,
      path: (name) => (name === 'mounted' ? '/mnt/vfile/mounted' : ''),
    });
    driver.setWaitingFor('etcd');
    return { clock, ...driver };
  };

  it('knows the volumes it knew before, so that the engine does not forget them', async () => {
    const { driver } = subject({ mounted: '2026-01-01T00:00:00Z' });
    expect(await driver.get('mounted')).toMatchObject({
      name: 'mounted',
      mountpoint: '/mnt/vfile/mounted',
      createdAt: '2026-01-01T00:00:00Z',
      status: { 'Volume Status': 'Unknown', Reason: expect.stringMatching(/waits for etcd/) },
    });
    expect(await driver.list()).toHaveLength(1);
    expect(await driver.path('mounted')).toBe('/mnt/vfile/mounted');
  });

  it('lets a question about any other volume wait, and in the end says for what', async () => {
    const { driver, clock } = subject({});
    const get = driver.get('constructor');
    get.catch(() => undefined);
    expect(await settled(clock, get)).toBe('pending');
    await clock.advance(60_000);
    await expect(get).rejects.toMatchObject({ code: 'unavailable', message: expect.stringMatching(/etcd/) });
    await expect(driver.list()).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('hands over to the real driver, calls that wait included', async () => {
    const { driver, clock, attach } = subject({ gone: '2026-01-01T00:00:00Z' });
    const mount = driver.mount('vol', 'id');
    expect(await settled(clock, mount)).toBe('pending');
    attach(real);
    expect(await mount).toBe('/real');
    expect(await driver.get('gone')).toBeUndefined();
  });
});
