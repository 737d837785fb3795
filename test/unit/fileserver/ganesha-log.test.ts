import { describe, expect, it } from 'vitest';
import { parseGaneshaLine } from '../../../src/fileserver/ganesha-log.ts';

const head = '22/11/2026 14:13:05 : epoch 6b02f86d : vfile-shared : nfs-ganesha-29084';

describe('a line of ganesha’s log', () => {
  it.each([
    ['[reaper] nfs_lift_grace_locked :RECOVERY :EVENT :NFS Server Now NOT IN GRACE', 'info', 'no-grace'],
    ['[main] nfs_start_grace :RECOVERY :EVENT :NFS Server Now IN GRACE, duration 16', 'info', 'grace'],
    ['[main] nfs_start :NFS STARTUP :EVENT :             NFS SERVER INITIALIZED', 'info', 'serving'],
    ['[main] fsal_cfg_commit :CONFIG :CRIT :Could not create export for (/vol)', 'error', undefined],
    ['[main] main :NFS STARTUP :FATAL :Fatal errors.  Server exiting...', 'error', undefined],
    ['[svc_1] x :FSAL :WARN :something odd: really', 'warn', undefined],
    ['[main] x :MAIN :EVENT :something', 'debug', undefined],
    ['[dbus] gsh_dbus_thread :DBUS :CRIT :DBUS not initialized', 'debug', undefined],
    ['[main] rpc :TIRPC :EVENT :getclnthandle: RPC: Unknown host', 'debug', undefined],
  ])('%s', (rest, level, tells) => {
    const line = parseGaneshaLine(head + rest);
    expect([line.level, line.tells]).toEqual([level, tells]);
    expect(line.message).not.toContain('epoch');
  });

  it('of another form is passed on as a warning', () => {
    expect(parseGaneshaLine('/usr/lib/ganesha/libganesha_nfsd.so(+0xad586) ')).toEqual({
      level: 'warn',
      message: '/usr/lib/ganesha/libganesha_nfsd.so(+0xad586)',
    });
  });
});
