import { isIP } from 'node:net';
import { z } from 'zod';
import { VolumeError } from '../lib/errors.ts';

const wholeNumber = (min: number, max: number) =>
  z.string().regex(/^\d+$/, 'must be a whole number').transform(Number).pipe(z.number().min(min).max(max));

const address = z.string().refine((text) => isIP(text) !== 0, 'must be an IP address');

/**
 * The environment of a file server's container. Written by the manager into the service; a user changes it through the
 * manager's settings.
 */
const environmentSchema = z.object({
  VFILE_VOLUME: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/, 'must be the name of a vFile volume'),
  VFILE_NODE_ID: z.string().min(1),
  VFILE_NODE_HOSTNAME: z.string().min(1),
  VFILE_PORT: wholeNumber(1024, 32767),
  VFILE_MANAGERS: z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim()))
    .pipe(z.array(address).min(1)),
  /** Address that ganesha listens on; default: the one in this node's record in the store. */
  VFILE_NODE_ADDRESS: address.optional(),
  VFILE_CERTIFICATES: z.string().startsWith('/').default('/run/swarm/certificates'),
  VFILE_ETCD_CLIENT_PORT: wholeNumber(1, 65535).default(2379),
  VFILE_EXPORT_ROOT: z
    .string()
    .regex(/^\/[\w./-]*[\w-]$/, 'must be an absolute path without special characters')
    .default('/export-root'),
  VFILE_RUN_DIR: z.string().startsWith('/').default('/run/ganesha'),
  /** Shorter: faster failover; longer: rides out longer interruptions of the managers. */
  VFILE_SERVER_LEASE_MS: wholeNumber(2_000, 120_000).default(5_000),
  /** How long before the lease can have run out ganesha is killed. */
  VFILE_SERVER_LEASE_MARGIN_MS: wholeNumber(100, 60_000).default(1_000),
  /**
   * Shorter: the locks of a client that died are free sooner; longer: rides out longer pauses. The kernel's idle client renews
   * no sooner than after 5 s (Linux, `nfs4_schedule_state_renewal`), whatever the lease is: with one of 5 s, idle clients lost
   * their state and got I/O errors.
   */
  VFILE_NFS_LEASE_SECONDS: wholeNumber(2, 120).default(7),
  /**
   * How long at most the server waits for clients that do not come back to reclaim; at least two leases, by default 20 s or
   * more: those of dead nodes are not waited for, and a live one that is late would lose its locks.
   */
  VFILE_NFS_GRACE_SECONDS: wholeNumber(4, 180).optional(),
  /** How long to wait for the volume's last server to let go before this task gives up. */
  VFILE_CLAIM_TIMEOUT_MS: wholeNumber(1_000, 600_000).default(60_000),
  VFILE_START_TIMEOUT_MS: wholeNumber(500, 120_000).default(20_000),
  VFILE_PROBE_INTERVAL_MS: wholeNumber(100, 60_000).default(200),
  VFILE_PROBE_TIMEOUT_MS: wholeNumber(100, 60_000).default(300),
  VFILE_PROBE_MISSES: wholeNumber(1, 100).default(2),
  VFILE_HANG_MS: wholeNumber(500, 600_000).default(9_000),
  VFILE_WRITE_PROBE_INTERVAL_MS: wholeNumber(500, 600_000).default(10_000),
  /** A disk that does not take a small synchronous write within this time is taken for dead. */
  VFILE_WRITE_PROBE_TIMEOUT_MS: wholeNumber(500, 600_000).default(20_000),
  VFILE_CAPACITY_INTERVAL_MS: wholeNumber(1_000, 3_600_000).default(30_000),
  /** On a planned stop: time for the nodes to park their transports before the socket is closed. The next server starts meanwhile. */
  VFILE_PARK_MS: wholeNumber(0, 10_000).default(800),
  VDVS_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

/** Settings of one file server. Times in ms unless the name says otherwise. */
export interface FileServerSettings {
  readonly volume: string;
  readonly nodeId: string;
  readonly hostname: string;
  readonly port: number;
  readonly managers: readonly string[];
  readonly nodeAddress: string | undefined;
  readonly certificates: string;
  readonly etcdClientPort: number;
  readonly exportRoot: string;
  readonly runDir: string;
  readonly leaseMs: number;
  readonly leaseMarginMs: number;
  readonly nfsLeaseSeconds: number;
  readonly nfsGraceSeconds: number;
  readonly claimTimeoutMs: number;
  readonly startTimeoutMs: number;
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
  readonly probeMisses: number;
  readonly hangMs: number;
  readonly writeProbeIntervalMs: number;
  readonly writeProbeTimeoutMs: number;
  readonly capacityIntervalMs: number;
  readonly parkMs: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/**
 * Settings from the environment; empty values count as not given.
 * @throws VolumeError `invalid` naming every variable that is wrong, not only the first.
 */
export function readFileServerSettings(
  environment: Readonly<Record<string, string | undefined>>,
): FileServerSettings {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = environmentSchema.safeParse(given);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  if (!parsed.success) {
    throw new VolumeError('invalid', `settings of the file server: ${problems.join('; ')}`);
  }
  const env = parsed.data;
  const graceSeconds =
    env.VFILE_NFS_GRACE_SECONDS ?? Math.min(180, Math.max(20, 2 * env.VFILE_NFS_LEASE_SECONDS));
  if (graceSeconds < 2 * env.VFILE_NFS_LEASE_SECONDS && graceSeconds < 180) {
    problems.push('VFILE_NFS_GRACE_SECONDS: must be at least twice VFILE_NFS_LEASE_SECONDS');
  }
  if (env.VFILE_SERVER_LEASE_MARGIN_MS > env.VFILE_SERVER_LEASE_MS / 2) {
    problems.push('VFILE_SERVER_LEASE_MARGIN_MS: must be at most half of VFILE_SERVER_LEASE_MS');
  }
  if (problems.length > 0) {
    throw new VolumeError('invalid', `settings of the file server: ${problems.join('; ')}`);
  }
  return Object.freeze({
    volume: env.VFILE_VOLUME,
    nodeId: env.VFILE_NODE_ID,
    hostname: env.VFILE_NODE_HOSTNAME,
    port: env.VFILE_PORT,
    managers: Object.freeze(env.VFILE_MANAGERS),
    nodeAddress: env.VFILE_NODE_ADDRESS,
    certificates: env.VFILE_CERTIFICATES,
    etcdClientPort: env.VFILE_ETCD_CLIENT_PORT,
    exportRoot: env.VFILE_EXPORT_ROOT,
    runDir: env.VFILE_RUN_DIR,
    leaseMs: env.VFILE_SERVER_LEASE_MS,
    leaseMarginMs: env.VFILE_SERVER_LEASE_MARGIN_MS,
    nfsLeaseSeconds: env.VFILE_NFS_LEASE_SECONDS,
    nfsGraceSeconds: graceSeconds,
    claimTimeoutMs: env.VFILE_CLAIM_TIMEOUT_MS,
    startTimeoutMs: env.VFILE_START_TIMEOUT_MS,
    probeIntervalMs: env.VFILE_PROBE_INTERVAL_MS,
    probeTimeoutMs: env.VFILE_PROBE_TIMEOUT_MS,
    probeMisses: env.VFILE_PROBE_MISSES,
    hangMs: env.VFILE_HANG_MS,
    writeProbeIntervalMs: env.VFILE_WRITE_PROBE_INTERVAL_MS,
    writeProbeTimeoutMs: env.VFILE_WRITE_PROBE_TIMEOUT_MS,
    capacityIntervalMs: env.VFILE_CAPACITY_INTERVAL_MS,
    parkMs: env.VFILE_PARK_MS,
    logLevel: env.VDVS_LOG_LEVEL,
  });
}
