import { describe, expect, it } from 'vitest';
import { readInstallerSettings } from '../../../src/installer/settings.ts';
import { version } from '../../../src/lib/version.ts';

describe("the installer's settings", () => {
  it('wish for vDVS before vFile, in this version, with the certificates of this engine', () => {
    const wishes = readInstallerSettings({}).wishes('/data/docker');
    expect(wishes.map(({ name }) => name)).toEqual(['vdvs:latest', 'vfile:latest']);
    for (const wish of wishes) {
      expect(wish).toMatchObject({ version, image: undefined });
      expect(wish.settings).toEqual({ 'swarm.source': '/data/docker/swarm' });
    }
  });

  it('hand on what is set for the plugins, and nothing of their own', () => {
    const wishes = readInstallerSettings({
      VFILE_LINGER_SECONDS: '60',
      VDVS_LOG_LEVEL: 'debug',
      VDVS_LEASE_MS: '',
      VFILE_PLUGIN_IMAGE: 'vfile/vfile:1',
      VFILE_CERTIFICATES: '/somewhere/else',
      PATH: '/bin',
    }).wishes('/var/lib/docker');
    expect(wishes[1]?.settings).toEqual({
      VFILE_LINGER_SECONDS: '60',
      VDVS_LOG_LEVEL: 'debug',
      'swarm.source': '/var/lib/docker/swarm',
    });
    expect(wishes[1]?.image).toBe('vfile/vfile:1');
  });

  it('interrupt vFile, whose containers do not notice, but not vDVS', () => {
    const wishes = readInstallerSettings({}).wishes('/var/lib/docker');
    expect(wishes.map(({ name, interrupt }) => [name, interrupt])).toEqual([
      ['vdvs:latest', false],
      ['vfile:latest', true],
    ]);
  });

  it('report all that is wrong at once', () => {
    const wrong = { VDVS_UPGRADE_IN_USE: 'perhaps', VDVS_LOG_LEVEL: 'loud' };
    expect(() => readInstallerSettings(wrong)).toThrow(/VDVS_UPGRADE_IN_USE.*VDVS_LOG_LEVEL/);
  });
});
