import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { filesystemId, renderGanesha } from '../../../src/fileserver/render-ganesha.ts';

const input = {
  volume: 'shared',
  address: '10.0.0.1',
  port: 20490,
  exportPath: '/export-root/data',
  recoveryPath: '/export-root/.vfile/recovery',
  leaseSeconds: 8,
  graceSeconds: 16,
  readOnly: false,
  clients: ['10.0.0.2', '10.0.0.1', '10.0.0.2'],
};

describe('ganesha’s configuration', () => {
  it('is, for a volume with two nodes', () => {
    expect(renderGanesha(input)).toBe(`NFS_CORE_PARAM {
  Bind_addr = 10.0.0.1;
  NFS_Port = 20490;
  NFS_Protocols = 4;
  Enable_NLM = false;
  Enable_RQUOTA = false;
  Enable_UDP = false;
  Enable_Metrics = false;
  Monitoring_Port = 0;
  Clustered = false;
  fsid_device = false;
  Allow_Set_Io_Flusher_Fail = true;
}
NFSV4 {
  Minor_Versions = 1, 2;
  Lease_Lifetime = 8;
  Grace_Period = 16;
  Delegations = false;
  Blocking_Locks = false;
  Only_Numeric_Owners = true;
  RecoveryBackend = fs_ng;
  RecoveryRoot = "/export-root/.vfile/recovery";
  Server_Scope = "vfile-shared";
  Server_Owner = "vfile-shared";
}
DIRECTORY_SERVICES {
  DomainName = "localdomain";
  Idmapping_Active = false;
}
NFS_KRB5 {
  Active_krb5 = false;
}
EXPORT_DEFAULTS {
  Access_Type = None;
}
EXPORT {
  Export_Id = 1;
  Path = "/export-root/data";
  Pseudo = "/vol";
  Filesystem_id = ${filesystemId('shared')};
  Protocols = 4;
  Transports = TCP;
  Access_Type = None;
  Squash = No_Root_Squash;
  SecType = sys;
  PrivilegedPort = true;
  Delegations = None;
  FSAL {
    Name = VFS;
  }
  CLIENT {
    Clients = 10.0.0.1, 10.0.0.2;
    Protocols = 4;
    Access_Type = RW;
    Squash = No_Root_Squash;
    SecType = sys;
    PrivilegedPort = true;
  }
}
LOG {
  Default_Log_Level = EVENT;
}
`);
  });

  it('lets nobody in while no node is known', () => {
    expect(renderGanesha({ ...input, clients: [] })).not.toContain('CLIENT');
  });

  it('gives read access only to a read-only volume', () => {
    const text = renderGanesha({ ...input, readOnly: true });
    expect(text).toContain('Access_Type = RO;');
    expect(text).not.toContain('Access_Type = RW;');
  });

  it('differs between hosts in nothing but the address', () => {
    const here = renderGanesha(input).replace('Bind_addr = 10.0.0.1', '');
    expect(renderGanesha({ ...input, address: '10.0.0.2' }).replace('Bind_addr = 10.0.0.2', '')).toBe(here);
  });

  it('refuses what could change its meaning', () => {
    expect(() => renderGanesha({ ...input, volume: 'a"; Access_Type = RW; #' })).toThrow(RangeError);
  });
});

describe('the file system’s number', () => {
  it('never changes: file handles in clients hold it', () => {
    expect(filesystemId('shared')).toBe('1461144713.1406585087');
  });

  it('is positive, 31 bits each, for every name', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const numbers = filesystemId(name).split('.').map(Number);
        expect(numbers).toHaveLength(2);
        for (const number of numbers) expect(number > 0 && number <= 2 ** 31).toBe(true);
      }),
    );
  });
});
