import { describe, expect, it } from 'vitest';
import { type PluginFacts, type PluginWish, planPlugin } from '../../../src/installer/plan-plugin.ts';
import type { InstalledPlugin } from '../../../src/swarm/engine-plugins.ts';

const wish: PluginWish = {
  name: 'vdvs:latest',
  version: '2.0.0',
  image: 'registry.test/vfile/vdvs:2.0.0',
  settings: { VDVS_LEASE_MS: '9000', 'swarm.source': '/data/docker/swarm' },
  interrupt: false,
};
const asWished: InstalledPlugin = {
  name: 'vdvs:latest',
  enabled: true,
  version: '2.0.0',
  settings: { VDVS_LEASE_MS: '9000', 'swarm.source': '/data/docker/swarm', OTHER: 'left alone' },
  settable: ['VDVS_LEASE_MS', 'swarm.source', 'OTHER'],
};
const facts = (plugin: InstalledPlugin | undefined, more: Partial<PluginFacts> = {}): PluginFacts => ({
  plugin,
  inUse: 0,
  imageTrouble: undefined,
  ...more,
});
const old = { ...asWished, version: '1.0.0' };
const otherSetting = { ...asWished, settings: { ...asWished.settings, VDVS_LEASE_MS: '' } };

describe('a missing plugin', () => {
  it('is installed from its image', () => {
    expect(planPlugin(wish, facts(undefined))).toEqual({ step: 'install', image: wish.image });
  });
  it('is waited for when no image is set', () => {
    expect(planPlugin({ ...wish, image: undefined }, facts(undefined))).toMatchObject({
      step: 'wait',
      reason: expect.stringContaining('not installed'),
    });
  });
  it('is waited for with the registry error while its image cannot be had', () => {
    expect(planPlugin(wish, facts(undefined, { imageTrouble: 'no route' }))).toEqual({
      step: 'wait',
      reason: 'no route',
    });
  });
});

describe('a disabled plugin', () => {
  const disabled = (plugin: InstalledPlugin) => ({ ...plugin, enabled: false });
  it('is enabled', () => {
    expect(planPlugin(wish, facts(disabled(asWished)))).toEqual({ step: 'enable' });
  });
  it('gets its settings before it is enabled, only those that differ', () => {
    expect(planPlugin(wish, facts(disabled(otherSetting)))).toEqual({
      step: 'configure',
      settings: { VDVS_LEASE_MS: '9000' },
    });
  });
  it('is upgraded before anything else', () => {
    expect(planPlugin(wish, facts(disabled(old)))).toEqual({ step: 'upgrade', image: wish.image });
  });
  it('is enabled in its old version while the new one cannot be had', () => {
    expect(planPlugin(wish, facts(disabled(old), { imageTrouble: 'no route' }))).toEqual({ step: 'enable' });
  });
  it('is not asked for settings that it does not have or that cannot be set', () => {
    const settings = { ...wish.settings, UNKNOWN: 'x' };
    expect(planPlugin({ ...wish, settings }, facts(disabled(asWished)))).toEqual({ step: 'enable' });
  });
});

describe('an enabled plugin', () => {
  it('that is as wished is left alone', () => {
    expect(planPlugin(wish, facts(asWished, { inUse: 3 }))).toEqual({ step: 'done' });
  });
  it('of another version is left alone when no image is set', () => {
    expect(planPlugin({ ...wish, image: undefined }, facts(old))).toEqual({ step: 'done' });
  });
  it('of another version is stopped for the upgrade when nothing uses it', () => {
    expect(planPlugin(wish, facts(old))).toEqual({
      step: 'disable',
      reason: 'upgrade from version 1.0.0 to 2.0.0',
    });
  });
  it('in use is not stopped, and the reason names how many volumes hold it', () => {
    expect(planPlugin(wish, facts(old, { inUse: 2 }))).toMatchObject({
      step: 'wait',
      reason: expect.stringContaining('2 in use'),
    });
    expect(planPlugin(wish, facts(otherSetting, { inUse: 1 }))).toMatchObject({ step: 'wait' });
  });
  it('in use is stopped when its containers do not notice', () => {
    expect(planPlugin({ ...wish, interrupt: true }, facts(old, { inUse: 2 }))).toMatchObject({
      step: 'disable',
    });
  });
  it('is not stopped for an upgrade that cannot be had', () => {
    expect(planPlugin(wish, facts(old, { imageTrouble: 'no route' }))).toEqual({
      step: 'wait',
      reason: 'no route',
    });
  });
});
