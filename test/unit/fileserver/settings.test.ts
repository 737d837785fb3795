import { describe, expect, it } from 'vitest';
import { readFileServerSettings } from '../../../src/fileserver/settings.ts';

const least = {
  VFILE_VOLUME: 'shared',
  VFILE_NODE_ID: 'n1',
  VFILE_NODE_HOSTNAME: 'host1',
  VFILE_PORT: '20490',
  VFILE_MANAGERS: '10.0.0.1, 10.0.0.2',
};

describe('settings of a file server', () => {
  it('have defaults for all but what only the manager knows', () => {
    expect(readFileServerSettings({ ...least, VFILE_NODE_ADDRESS: '' })).toMatchObject({
      volume: 'shared',
      port: 20490,
      managers: ['10.0.0.1', '10.0.0.2'],
      nodeAddress: undefined,
      leaseMs: 5000,
      leaseMarginMs: 1000,
      nfsLeaseSeconds: 7,
      nfsGraceSeconds: 20,
      exportRoot: '/export-root',
    });
  });

  it('report all problems at once', () => {
    const wrong = { ...least, VFILE_PORT: '70000', VFILE_MANAGERS: 'manager1', VFILE_VOLUME: '../x' };
    expect(() => readFileServerSettings(wrong)).toThrow(/VFILE_VOLUME.*VFILE_PORT.*VFILE_MANAGERS/);
  });

  it.each([
    [
      { VFILE_SERVER_LEASE_MS: '2000', VFILE_SERVER_LEASE_MARGIN_MS: '1500' },
      /MARGIN_MS: must be at most half/,
    ],
    [
      { VFILE_NFS_LEASE_SECONDS: '20', VFILE_NFS_GRACE_SECONDS: '30' },
      /GRACE_SECONDS: must be at least twice/,
    ],
    [{ VFILE_EXPORT_ROOT: '/a"b' }, /VFILE_EXPORT_ROOT/],
    [{ VFILE_SERVER_LEASE_MS: '5s' }, /VFILE_SERVER_LEASE_MS: must be a whole number/],
  ])('%j is refused', (given, message) => {
    expect(() => readFileServerSettings({ ...least, ...given })).toThrow(message);
  });

  it('allow the longest lease that ganesha takes', () => {
    const long = readFileServerSettings({ ...least, VFILE_NFS_LEASE_SECONDS: '120' });
    expect([long.nfsLeaseSeconds, long.nfsGraceSeconds]).toEqual([120, 180]);
  });
});
