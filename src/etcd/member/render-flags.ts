import { hostPort } from '../../lib/host-port.ts';
import { managerServerName } from '../../lib/node-identity.ts';
import type { TlsFilePaths } from '../../lib/tls-files.ts';
import type { MemberStep } from './plan-member.ts';
import type { MemberSettings } from './settings.ts';

/** What etcd's command line depends on. */
export interface FlagInput {
  readonly nodeId: string;
  readonly address: string;
  readonly dataDir: string;
  readonly tls: TlsFilePaths;
  /** Tells clusters apart that know nothing of one another. */
  readonly token: string;
  readonly version: { readonly major: number; readonly minor: number };
  readonly start: Extract<MemberStep, { do: 'start' }>;
  readonly settings: MemberSettings;
}

/** Peers call one another by node ID as host name, because that is what their certificates hold. */
export function peerUrlOf(nodeId: string, peerPort: number): string {
  return `https://${nodeId}:${peerPort}`;
}

function initialCluster({ start, nodeId, settings }: FlagInput): string[] {
  if (start.with === 'data') return [];
  const members =
    start.with === 'join'
      ? start.members.flatMap((member) => member.peerUrls.map((url) => `${member.nodeId}=${url}`))
      : [`${nodeId}=${peerUrlOf(nodeId, settings.peerPort)}`];
  const state = start.with === 'join' ? 'existing' : 'new';
  return [`--initial-cluster=${members.join(',')}`, `--initial-cluster-state=${state}`];
}

/** etcd's whole command line. Pure. */
export function renderFlags(input: FlagInput): string[] {
  const { nodeId, address, settings, tls, version } = input;
  const before = (minor: number): boolean => version.major === 3 && version.minor < minor;
  const clientUrls = [...new Set([address, ...settings.listenAlso])].map(
    (ip) => `https://${hostPort(ip, settings.clientPort)}`,
  );
  return [
    `--name=${nodeId}`,
    `--data-dir=${input.dataDir}`,
    ...initialCluster(input),
    `--initial-cluster-token=${input.token}`,
    `--initial-advertise-peer-urls=${peerUrlOf(nodeId, settings.peerPort)}`,
    `--listen-peer-urls=https://${hostPort(address, settings.peerPort)}`,
    `--listen-client-urls=${clientUrls.join(',')}`,
    `--advertise-client-urls=https://${hostPort(address, settings.clientPort)}`,
    `--cert-file=${tls.cert}`,
    `--key-file=${tls.key}`,
    `--trusted-ca-file=${tls.ca}`,
    '--client-cert-auth=true',
    `--peer-cert-file=${tls.cert}`,
    `--peer-key-file=${tls.key}`,
    `--peer-trusted-ca-file=${tls.ca}`,
    '--peer-client-cert-auth=true',
    // Only managers may speak as peers; a worker's certificate lacks this name. With it the address a peer calls from
    // need not be the one its names resolve to (a host can have several).
    `--peer-cert-allowed-hostname=${managerServerName}`,
    before(6)
      ? '--experimental-peer-skip-client-san-verification=true'
      : '--peer-skip-client-san-verification=true',
    `--heartbeat-interval=${settings.heartbeatMs}`,
    `--election-timeout=${settings.electionMs}`,
    // Our clients ping every second to notice a dead member; etcd would close such connections by default.
    '--grpc-keepalive-min-time=500ms',
    '--auto-compaction-mode=periodic',
    `--auto-compaction-retention=${settings.compactionMinutes}m`,
    `--quota-backend-bytes=${settings.quotaMb * 1024 * 1024}`,
    '--snapshot-count=10000',
    '--strict-reconfig-check=true',
    ...(before(6) ? ['--enable-v2=false', '--logger=zap'] : []),
    `--log-level=${settings.logLevel}`,
  ];
}
