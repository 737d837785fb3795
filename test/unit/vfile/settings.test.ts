import { describe, expect, it } from 'vitest';
import { readVfileSettings } from '../../../src/vfile/settings.ts';

describe('settings of vFile', () => {
  it('have defaults, and empty texts count as not set', () => {
    const settings = readVfileSettings({ VFILE_BASE_DRIVER: '', VDVS_LOG_LEVEL: '' });
    expect(settings).toMatchObject({
      timeoutMs: 110_000,
      etcdClientPort: 2379,
      baseDriver: 'vdvs',
      lingerMs: 30_000,
      serverLeaseMs: 5_000,
      standby: true,
      standbyAfterMs: 10_000,
      nfsPorts: { first: 20_490, count: 4_000 },
      log: { level: 'info' },
    });
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it('turn standbys off, or have them at once', () => {
    const settings = readVfileSettings({ VFILE_STANDBY: 'false', VFILE_STANDBY_AFTER_SECONDS: '0' });
    expect(settings).toMatchObject({ standby: false, standbyAfterMs: 0 });
    const wrong = () => readVfileSettings({ VFILE_STANDBY: 'yes', VFILE_STANDBY_AFTER_SECONDS: '3601' });
    expect(wrong).toThrow(/VFILE_STANDBY="yes".*VFILE_STANDBY_AFTER_SECONDS="3601"/);
  });

  it('come from the file, and the environment goes before it', () => {
    const file = JSON.stringify({ InternalDriver: 'rexray', LogLevel: 'WARNING', MaxLogFiles: 3 });
    expect(readVfileSettings({}, file)).toMatchObject({
      baseDriver: 'rexray',
      log: { level: 'warn', maxFiles: 3 },
    });
    expect(readVfileSettings({ VFILE_BASE_DRIVER: 'vdvs' }, file).baseDriver).toBe('vdvs');
  });

  it('report all problems at once, each with where it was set', () => {
    const env = { VFILE_TIMEOUT_IN_SECOND: '500', VFILE_ETCD_CLIENT_PORT: 'x', VFILE_CERTIFICATES: 'here' };
    const file = JSON.stringify({ LogLevel: 'loud', Colour: 'red' });
    const read = () => readVfileSettings(env, file);
    for (const part of [
      /VFILE_TIMEOUT_IN_SECOND="500"/,
      /VFILE_ETCD_CLIENT_PORT="x"/,
      /VFILE_CERTIFICATES="here"/,
      /settings file: LogLevel="loud"/,
      /unknown setting Colour; valid settings: InternalDriver/,
    ]) {
      expect(read).toThrow(part);
    }
  });

  it('refuse a file that is not JSON, and ports from which source ports are taken', () => {
    expect(() => readVfileSettings({}, '{')).toThrow(/settings file: not JSON/);
    expect(() => readVfileSettings({ VFILE_NFS_PORT_FIRST: '32000', VFILE_NFS_PORT_COUNT: '1000' })).toThrow(
      /below 32768/,
    );
  });
});
