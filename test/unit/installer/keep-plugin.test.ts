import { beforeEach, describe, expect, it } from 'vitest';
import { createPluginKeeper, type PluginKeeper } from '../../../src/installer/keep-plugin.ts';
import type { PluginWish } from '../../../src/installer/plan-plugin.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { createMemoryPlugins, type MemoryPlugins } from '../../../src/swarm/memory-plugins.ts';

const wish: PluginWish = {
  name: 'vdvs:latest',
  version: '2.0.0',
  image: 'vfile/vdvs:2.0.0',
  settings: { VDVS_LEASE_MS: '9000', 'swarm.source': '/data/swarm' },
  interrupt: false,
};
const settings = { VDVS_LEASE_MS: '', 'swarm.source': '/var/lib/docker/swarm' };

let plugins: MemoryPlugins;
let used: string[];
let clock: ManualClock;
let keeper: PluginKeeper;

beforeEach(() => {
  plugins = createMemoryPlugins();
  plugins.registry.set('vfile/vdvs:2.0.0', { version: '2.0.0', settings });
  used = [];
  clock = new ManualClock();
  const containers = {
    volumesInUse: async () => used.map((volume) => ({ containerId: 'c', driver: 'vdvs', volume })),
  };
  keeper = createPluginKeeper({ wish, plugins, containers, clock, log: silentLog });
});

describe('looking at a plugin', () => {
  it('installs, configures and enables it on a fresh node', async () => {
    expect(await keeper.look()).toBe('done');
    expect(plugins.calls).toEqual([
      'install vdvs:latest vfile/vdvs:2.0.0',
      'configure vdvs:latest VDVS_LEASE_MS swarm.source',
      'enable vdvs:latest',
    ]);
    expect(await plugins.inspect('vdvs:latest')).toMatchObject({ enabled: true, settings: wish.settings });
  });

  it('does nothing more once it is as wished', async () => {
    await keeper.look();
    plugins.calls.length = 0;
    expect(await keeper.look()).toBe('done');
    expect(plugins.calls).toEqual([]);
  });

  it('enables a plugin at once that is off when it first looks', async () => {
    plugins.create('vdvs:latest', { version: '2.0.0', settings: wish.settings });
    expect(await keeper.look()).toBe('done');
    expect(plugins.calls).toEqual(['enable vdvs:latest']);
  });

  it('enables a plugin that somebody has disabled, when they have had the time to do so themselves', async () => {
    await keeper.look();
    plugins.forceDisabled('vdvs:latest');
    plugins.calls.length = 0;
    expect(await keeper.look()).toBe('waiting');
    await clock.advance(9_999);
    expect(await keeper.look()).toBe('waiting');
    expect(plugins.calls).toEqual([]);
    await clock.advance(1);
    expect(await keeper.look()).toBe('done');
    expect((await plugins.inspect('vdvs:latest'))?.enabled).toBe(true);
  });

  it('upgrades, and sets again the mounts that the upgrade has put back', async () => {
    plugins.create('vdvs:latest', { version: '1.0.0', settings });
    await plugins.configure('vdvs:latest', wish.settings);
    await plugins.enable('vdvs:latest');
    plugins.calls.length = 0;
    // The engine goes on cleaning up after it has disabled a plugin.
    expect(await keeper.look()).toBe('waiting');
    expect(plugins.calls).toEqual(['disable vdvs:latest']);
    expect(await keeper.look()).toBe('done');
    expect(await plugins.inspect('vdvs:latest')).toMatchObject({
      version: '2.0.0',
      enabled: true,
      settings: wish.settings,
    });
  });

  it('leaves a plugin with volumes in use running until they are not', async () => {
    plugins.create('vdvs:latest', { version: '1.0.0', settings: wish.settings });
    await plugins.enable('vdvs:latest');
    used = ['data'];
    expect(await keeper.look()).toBe('waiting');
    expect(await plugins.inspect('vdvs:latest')).toMatchObject({ enabled: true, version: '1.0.0' });
    used = [];
    expect(await keeper.look()).toBe('waiting');
    expect(await keeper.look()).toBe('done');
    expect(await plugins.inspect('vdvs:latest')).toMatchObject({ enabled: true, version: '2.0.0' });
  });

  it('brings the old version back when the registry fails in the middle of an upgrade, and tries again later', async () => {
    plugins.create('vdvs:latest', { version: '1.0.0', settings: wish.settings });
    await plugins.enable('vdvs:latest');
    plugins.failing.set('upgrade', new VolumeError('unavailable', 'registry is away'));
    expect(await keeper.look()).toBe('waiting');
    expect(await keeper.look()).toBe('waiting');
    expect(await plugins.inspect('vdvs:latest')).toMatchObject({ enabled: true, version: '1.0.0' });

    plugins.failing.clear();
    plugins.calls.length = 0;
    expect(await keeper.look()).toBe('waiting');
    expect(plugins.calls).toEqual([]);
    await clock.advance(5_000);
    expect(await keeper.look()).toBe('waiting');
    expect(await keeper.look()).toBe('done');
    expect(await plugins.inspect('vdvs:latest')).toMatchObject({ enabled: true, version: '2.0.0' });
  });

  it('says that it failed when the plugin does not start, and tries at the next look', async () => {
    plugins.failing.set('enable', new VolumeError('internal', 'no such file'));
    expect(await keeper.look()).toBe('failed');
    plugins.failing.clear();
    expect(await keeper.look()).toBe('done');
  });
});
