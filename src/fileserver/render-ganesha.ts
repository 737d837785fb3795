import { createHash } from 'node:crypto';
import { exportedAs } from './layout.ts';

/** Everything that ganesha's configuration depends on. */
export interface GaneshaInput {
  readonly volume: string;
  /** Address to listen on: the node's own, so that 127.0.0.1 of the same port stays free for parking. */
  readonly address: string;
  readonly port: number;
  readonly exportPath: string;
  readonly recoveryPath: string;
  readonly leaseSeconds: number;
  readonly graceSeconds: number;
  readonly readOnly: boolean;
  /** Addresses of those who may mount: the Swarm's nodes. Nobody when empty. */
  readonly clients: readonly string[];
}

/** Two numbers that a volume's file handles carry in place of a device number. The same on every host, for ever. */
export function filesystemId(volume: string): string {
  const digest = createHash('sha256').update(`vfile-filesystem:${volume}`).digest();
  // 31 bits each: ganesha reads 64, clients and tools that treat it as signed 32 bits must not be surprised. Never 0.
  return `${(digest.readUInt32BE(0) >>> 1) + 1}.${(digest.readUInt32BE(4) >>> 1) + 1}`;
}

/** What the Linux client takes for the server's identity; distinct volumes must never look like one server. */
export function serverOwner(volume: string): string {
  return `vfile-${volume}`;
}

function quoted(text: string): string {
  if (/["\\\n]/.test(text)) throw new RangeError(`not representable in ganesha's configuration: ${text}`);
  return `"${text}"`;
}

function clientBlock(input: GaneshaInput): string[] {
  if (input.clients.length === 0) return [];
  const access = input.readOnly ? 'RO' : 'RW';
  return [
    '  CLIENT {',
    `    Clients = ${[...new Set(input.clients)].sort().join(', ')};`,
    '    Protocols = 4;',
    `    Access_Type = ${access};`,
    '    Squash = No_Root_Squash;',
    '    SecType = sys;',
    '    PrivilegedPort = true;',
    '  }',
  ];
}

/**
 * ganesha's configuration for one volume. Pure: the same input gives the same text. What depends on the host (address,
 * clients) must not reach anything that file handles or clients' records depend on.
 */
export function renderGanesha(input: GaneshaInput): string {
  const owner = quoted(serverOwner(input.volume));
  return [
    'NFS_CORE_PARAM {',
    `  Bind_addr = ${input.address};`,
    `  NFS_Port = ${input.port};`,
    '  NFS_Protocols = 4;',
    // With NLM on, grace is not lifted early. None of the side services may listen: many servers share a host's network.
    '  Enable_NLM = false;',
    '  Enable_RQUOTA = false;',
    '  Enable_UDP = false;',
    '  Enable_Metrics = false;',
    '  Monitoring_Port = 0;',
    '  Clustered = false;',
    // Handles must not depend on the device number, which differs from host to host.
    '  fsid_device = false;',
    // Docker gives no CAP_SYS_RESOURCE; ganesha would refuse to start.
    '  Allow_Set_Io_Flusher_Fail = true;',
    '}',
    'NFSV4 {',
    // 4.0 clients never say that they have reclaimed, so they would hold up the end of grace.
    '  Minor_Versions = 1, 2;',
    `  Lease_Lifetime = ${input.leaseSeconds};`,
    `  Grace_Period = ${input.graceSeconds};`,
    '  Delegations = false;',
    // On, a client that waits would be called back when the lock is free. But ganesha 9.14 then lets a second client into a lock
    // that another one holds (measured with flock on Linux 6.12: after some seconds of waiting it has it too); and it names the
    // holder "ganesha_unknown_owner", one byte more than that client has room for, so that some programs get EIO. Off, the client
    // asks again after 1 s, 2 s, 4 s, ...
    '  Blocking_Locks = false;',
    '  Only_Numeric_Owners = true;',
    '  RecoveryBackend = fs_ng;',
    `  RecoveryRoot = ${quoted(input.recoveryPath)};`,
    `  Server_Scope = ${owner};`,
    `  Server_Owner = ${owner};`,
    '}',
    'DIRECTORY_SERVICES {',
    '  DomainName = "localdomain";',
    '  Idmapping_Active = false;',
    '}',
    'NFS_KRB5 {',
    '  Active_krb5 = false;',
    '}',
    'EXPORT_DEFAULTS {',
    '  Access_Type = None;',
    '}',
    'EXPORT {',
    '  Export_Id = 1;',
    `  Path = ${quoted(input.exportPath)};`,
    `  Pseudo = ${quoted(exportedAs)};`,
    `  Filesystem_id = ${filesystemId(input.volume)};`,
    '  Protocols = 4;',
    '  Transports = TCP;',
    '  Access_Type = None;',
    '  Squash = No_Root_Squash;',
    '  SecType = sys;',
    // Unprivileged processes of a node cannot speak NFS to the server around the kernel.
    '  PrivilegedPort = true;',
    '  Delegations = None;',
    '  FSAL {',
    '    Name = VFS;',
    '  }',
    ...clientBlock(input),
    '}',
    'LOG {',
    '  Default_Log_Level = EVENT;',
    '}',
    '',
  ].join('\n');
}
