import { z } from 'zod';
import { VolumeError } from '../../lib/errors.ts';

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const port = whole(1, 65_535);
const path = z.string().startsWith('/');

const schema = z.object({
  VFILE_ETCD_CLIENT_PORT: port.default(2379),
  VFILE_ETCD_PEER_PORT: port.default(2380),
  VFILE_ETCD_LISTEN_ALSO: z
    .string()
    .default('127.0.0.1')
    .transform((text) =>
      text
        .split(',')
        .map((one) => one.trim())
        .filter((one) => one !== ''),
    )
    .pipe(z.array(z.union([z.ipv4(), z.ipv6()]))),
  VFILE_ETCD_DATA: path.default('/var/lib/etcd'),
  VFILE_ETCD_BINARY: z.string().min(1).default('etcd'),
  VFILE_ETCD_PRIVATE: path.default('/dev/shm/vfile-etcd'),
  VFILE_ETCD_HOSTS_FILE: path.default('/etc/hosts'),
  VFILE_ETCD_HEARTBEAT_MS: whole(10, 5_000).default(250),
  VFILE_ETCD_ELECTION_MS: whole(50, 50_000).default(1_250),
  VFILE_ETCD_QUOTA_MB: whole(16, 8_192).default(2_048),
  VFILE_ETCD_COMPACTION_MINUTES: whole(1, 10_080).default(60),
  VFILE_ETCD_DEPARTED_SECONDS: whole(5, 86_400).default(60),
  VFILE_ETCD_JOIN_SECONDS: whole(10, 86_400).default(120),
  VFILE_ETCD_LINGER_MS: whole(0, 15_000).default(3_000),
  VFILE_ETCD_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('warn'),
  VFILE_CERTIFICATES: path.default('/run/swarm/certificates'),
  VFILE_DOCKER_SOCKET: path.default('/var/run/docker.sock'),
  VDVS_LOG_LEVEL: z
    .string()
    .transform((text) => text.toLowerCase().replace('warning', 'warn'))
    .pipe(z.enum(['debug', 'info', 'warn', 'error']))
    .default('info'),
});

/** Settings of a manager's etcd member. Times in ms. */
export interface MemberSettings {
  readonly clientPort: number;
  readonly peerPort: number;
  /** Addresses besides the node's own on which clients are served (setting `,` for none). */
  readonly listenAlso: readonly string[];
  /** Directory that outlives the container: etcd's data and this supervisor's state. */
  readonly data: string;
  readonly binary: string;
  /** Where the node's certificate is written for etcd; in memory (tmpfs). */
  readonly private: string;
  readonly hostsFile: string;
  /** How often the leader of the cluster is heard. */
  readonly heartbeatMs: number;
  /**
   * Silence of the leader after which another is elected. Short means fast failover, long means calm on slow machines;
   * a lease cannot be shorter than one and a half times this.
   */
  readonly electionMs: number;
  readonly quotaMb: number;
  /** How long old revisions are kept. */
  readonly compactionMinutes: number;
  /** A node that is no manager any more loses its member after this time. */
  readonly departedMs: number;
  /** A member that was added but did not come up is removed after this time, so that others can join. */
  readonly joinMs: number;
  /** So long the member goes on after it was told to stop; see `runEtcd`. */
  readonly lingerMs: number;
  /** etcd's own log level; `level` is the supervisor's. */
  readonly logLevel: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly certificates: string;
  readonly dockerSocket: string;
}

/**
 * The member's settings from the environment; empty values count as absent. Pure.
 * @throws VolumeError `invalid` listing all problems at once.
 */
export function readMemberSettings(env: Readonly<Record<string, string | undefined>>): MemberSettings {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(given);
  const problems = (parsed.error?.issues ?? []).map((issue) => {
    const name = String(issue.path[0]);
    return `${name}=${JSON.stringify(given[name])}: ${issue.message}`;
  });
  const s = parsed.data;
  if (s && s.VFILE_ETCD_ELECTION_MS < 5 * s.VFILE_ETCD_HEARTBEAT_MS) {
    problems.push('VFILE_ETCD_ELECTION_MS: must be at least five times VFILE_ETCD_HEARTBEAT_MS');
  }
  if (!s || problems.length > 0) throw new VolumeError('invalid', `settings: ${problems.join('; ')}`);
  return Object.freeze({
    clientPort: s.VFILE_ETCD_CLIENT_PORT,
    peerPort: s.VFILE_ETCD_PEER_PORT,
    listenAlso: Object.freeze(s.VFILE_ETCD_LISTEN_ALSO),
    data: s.VFILE_ETCD_DATA,
    binary: s.VFILE_ETCD_BINARY,
    private: s.VFILE_ETCD_PRIVATE,
    hostsFile: s.VFILE_ETCD_HOSTS_FILE,
    heartbeatMs: s.VFILE_ETCD_HEARTBEAT_MS,
    electionMs: s.VFILE_ETCD_ELECTION_MS,
    quotaMb: s.VFILE_ETCD_QUOTA_MB,
    compactionMinutes: s.VFILE_ETCD_COMPACTION_MINUTES,
    departedMs: s.VFILE_ETCD_DEPARTED_SECONDS * 1_000,
    joinMs: s.VFILE_ETCD_JOIN_SECONDS * 1_000,
    lingerMs: s.VFILE_ETCD_LINGER_MS,
    logLevel: s.VFILE_ETCD_LOG_LEVEL,
    level: s.VDVS_LOG_LEVEL,
    certificates: s.VFILE_CERTIFICATES,
    dockerSocket: s.VFILE_DOCKER_SOCKET,
  });
}
