import { z } from 'zod';
import { VolumeError } from '../lib/errors.ts';
import { version } from '../lib/version.ts';
import type { PortRange } from './ports.ts';

/** Settings of vFile's plugin, manager and file server. All times in ms. */
export interface VfileSettings {
  /** How long Mount, Create and Remove wait before they give up with a reason; dockerd cuts Create and Mount at 120 s. */
  readonly timeoutMs: number;
  readonly etcdClientPort: number;
  readonly etcdPeerPort: number;
  readonly adminPort: number;
  /** Docker volume driver of the block volumes under the shared ones. */
  readonly baseDriver: string;
  /** How long an unused file server stays: long means warm mounts, short means freed memory and disks. */
  readonly lingerMs: number;
  /** A file server out of contact for this long is replaced: short means fast failover, long means calm networks. */
  readonly serverLeaseMs: number;
  /** The same for a node's plugin. */
  readonly nodeLeaseMs: number;
  /** The same for the manager that leads. */
  readonly leaderLeaseMs: number;
  /** The mounts of a node out of contact for this long count no more. */
  readonly deadNodeMs: number;
  /** How long a new file server may take until it serves before the volume's status says so. */
  readonly startDeadlineMs: number;
  /** Whether volumes whose disk may arrive later get a second, waiting file server on another node. */
  readonly standby: boolean;
  /** How long a volume must have been served before it gets one. */
  readonly standbyAfterMs: number;
  readonly nfsPorts: PortRange;
  readonly fileserverImage: string;
  /** Linux capabilities of file servers, without `CAP_`. */
  readonly fileserverCapabilities: readonly string[];
  /** Directory of the node's Swarm certificates as this process sees it. */
  readonly certificates: string;
  /** The same directory on the host. */
  readonly certificatesHostPath: string;
  readonly dockerSocket: string;
  readonly log: {
    readonly level: 'debug' | 'info' | 'warn' | 'error';
    readonly path?: string;
    readonly maxSizeMb: number;
    readonly maxFiles: number;
    readonly maxAgeDays: number;
  };
}

/** Where the settings file lies by default. */
export const settingsFile = '/etc/vfile.conf';

const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const port = whole(1, 65_535);
const flag = z.enum(['true', 'false']).transform((text) => text === 'true');
const path = z.string().startsWith('/');
const level = z
  .string()
  .transform((text) => text.toLowerCase().replace('warning', 'warn'))
  .pipe(z.enum(['debug', 'info', 'warn', 'error']));

/** One setting: its name in the environment, in the file (where it has one), and what it must be. */
const schema = z.object({
  VFILE_TIMEOUT_IN_SECOND: whole(5, 115).default(110),
  VFILE_ETCD_CLIENT_PORT: port.default(2379),
  VFILE_ETCD_PEER_PORT: port.default(2380),
  VFILE_ADMIN_PORT: port.default(8790),
  VFILE_BASE_DRIVER: z.string().default('vdvs'),
  VFILE_LINGER_SECONDS: whole(0, 86_400).default(30),
  VFILE_SERVER_LEASE_MS: whole(2_000, 60_000).default(5_000),
  VFILE_NODE_LEASE_MS: whole(2_000, 60_000).default(5_000),
  VFILE_LEADER_LEASE_MS: whole(2_000, 60_000).default(4_000),
  VFILE_DEAD_NODE_SECONDS: whole(10, 604_800).default(300),
  VFILE_START_DEADLINE_SECONDS: whole(5, 600).default(60),
  VFILE_STANDBY: flag.default(true),
  VFILE_STANDBY_AFTER_SECONDS: whole(0, 3_600).default(10),
  VFILE_NFS_PORT_FIRST: whole(1_024, 32_767).default(20_490),
  VFILE_NFS_PORT_COUNT: whole(1, 31_744).default(4_000),
  VFILE_FILESERVER_IMAGE: z.string().default(`vfile/fileserver:${version}`),
  VFILE_FILESERVER_CAPABILITIES: z
    .string()
    .default('DAC_READ_SEARCH,SYS_ADMIN,SYS_RESOURCE')
    .transform((text) =>
      text
        .split(',')
        .map((one) => one.trim().replace(/^CAP_/, ''))
        .filter((one) => one !== ''),
    ),
  VFILE_CERTIFICATES: path.default('/run/swarm/certificates'),
  VFILE_CERTIFICATES_HOST_PATH: path.default('/var/lib/docker/swarm/certificates'),
  VFILE_DOCKER_SOCKET: path.default('/var/run/docker.sock'),
  VDVS_LOG_LEVEL: level.default('info'),
  VFILE_LOG_PATH: path.optional(),
  VFILE_LOG_MAX_SIZE_MB: whole(1, 10_000).default(10),
  VFILE_LOG_MAX_FILES: whole(1, 1_000).default(5),
  VFILE_LOG_MAX_AGE_DAYS: whole(1, 3_650).default(28),
});
type Setting = keyof z.infer<typeof schema>;

/** Names in the settings file, as users of the earlier vFile know them. */
const fileNames: Readonly<Record<string, Setting>> = {
  InternalDriver: 'VFILE_BASE_DRIVER',
  LogLevel: 'VDVS_LOG_LEVEL',
  LogPath: 'VFILE_LOG_PATH',
  MaxLogSizeMb: 'VFILE_LOG_MAX_SIZE_MB',
  MaxLogFiles: 'VFILE_LOG_MAX_FILES',
  MaxLogAgeDays: 'VFILE_LOG_MAX_AGE_DAYS',
};

interface Given {
  readonly values: Record<string, unknown>;
  /** How the user wrote each setting. */
  readonly source: Map<string, string>;
  readonly problems: string[];
}

function fromFile(text: string | undefined, given: Given): void {
  if (text === undefined || text.trim() === '') return;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (thrown) {
    given.problems.push(`settings file: not JSON: ${thrown instanceof Error ? thrown.message : thrown}`);
    return;
  }
  const object = z.record(z.string(), z.unknown()).safeParse(parsed);
  if (!object.success) {
    given.problems.push('settings file: must hold one JSON object');
    return;
  }
  for (const [name, value] of Object.entries(object.data)) {
    const setting = Object.hasOwn(fileNames, name) ? fileNames[name] : undefined;
    if (!setting) {
      const valid = Object.keys(fileNames).join(', ');
      given.problems.push(`settings file: unknown setting ${name}; valid settings: ${valid}`);
    } else if (value !== '') {
      given.values[setting] = value;
      given.source.set(setting, `settings file: ${name}`);
    }
  }
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>, given: Given): void {
  for (const setting of Object.keys(schema.shape)) {
    const value = env[setting];
    // Docker hands over every setting of a plugin, the ones that nobody set as empty texts.
    if (value === undefined || value === '') continue;
    given.values[setting] = value;
    given.source.set(setting, setting);
  }
}

/**
 * vFile's settings from the environment and, below it, the text of `/etc/vfile.conf`. Pure.
 * @throws VolumeError `invalid` listing all problems at once.
 */
export function readVfileSettings(
  env: Readonly<Record<string, string | undefined>>,
  fileText?: string,
): VfileSettings {
  const given: Given = { values: {}, source: new Map(), problems: [] };
  fromFile(fileText, given);
  fromEnvironment(env, given);
  const parsed = schema.safeParse(given.values);
  for (const issue of parsed.error?.issues ?? []) {
    const setting = String(issue.path[0]);
    const source = given.source.get(setting) ?? setting;
    given.problems.push(`${source}=${JSON.stringify(given.values[setting])}: ${issue.message}`);
  }
  const s = parsed.data;
  if (s && s.VFILE_NFS_PORT_FIRST + s.VFILE_NFS_PORT_COUNT > 32_768) {
    // Above lie the ports from which kernels take source ports: a server could find its own taken.
    given.problems.push('VFILE_NFS_PORT_FIRST + VFILE_NFS_PORT_COUNT: ports must be below 32768');
  }
  if (!s || given.problems.length > 0) {
    throw new VolumeError('invalid', `settings: ${given.problems.join('; ')}`);
  }
  return Object.freeze({
    timeoutMs: s.VFILE_TIMEOUT_IN_SECOND * 1_000,
    etcdClientPort: s.VFILE_ETCD_CLIENT_PORT,
    etcdPeerPort: s.VFILE_ETCD_PEER_PORT,
    adminPort: s.VFILE_ADMIN_PORT,
    baseDriver: s.VFILE_BASE_DRIVER,
    lingerMs: s.VFILE_LINGER_SECONDS * 1_000,
    serverLeaseMs: s.VFILE_SERVER_LEASE_MS,
    nodeLeaseMs: s.VFILE_NODE_LEASE_MS,
    leaderLeaseMs: s.VFILE_LEADER_LEASE_MS,
    deadNodeMs: s.VFILE_DEAD_NODE_SECONDS * 1_000,
    startDeadlineMs: s.VFILE_START_DEADLINE_SECONDS * 1_000,
    standby: s.VFILE_STANDBY,
    standbyAfterMs: s.VFILE_STANDBY_AFTER_SECONDS * 1_000,
    nfsPorts: Object.freeze({ first: s.VFILE_NFS_PORT_FIRST, count: s.VFILE_NFS_PORT_COUNT }),
    fileserverImage: s.VFILE_FILESERVER_IMAGE,
    fileserverCapabilities: Object.freeze(s.VFILE_FILESERVER_CAPABILITIES),
    certificates: s.VFILE_CERTIFICATES,
    certificatesHostPath: s.VFILE_CERTIFICATES_HOST_PATH,
    dockerSocket: s.VFILE_DOCKER_SOCKET,
    log: Object.freeze({
      level: s.VDVS_LOG_LEVEL,
      ...(s.VFILE_LOG_PATH === undefined ? {} : { path: s.VFILE_LOG_PATH }),
      maxSizeMb: s.VFILE_LOG_MAX_SIZE_MB,
      maxFiles: s.VFILE_LOG_MAX_FILES,
      maxAgeDays: s.VFILE_LOG_MAX_AGE_DAYS,
    }),
  });
}
