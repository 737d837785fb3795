import { z } from 'zod';
import { VolumeError } from '../lib/errors.ts';

/** What the environment holds. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A whole number within limits. */
export const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const port = whole(1, 65_535);
const path = z.string().startsWith('/');
const level = z
  .string()
  .transform((text) => text.toLowerCase().replace('warning', 'warn'))
  .pipe(z.enum(['debug', 'info', 'warn', 'error']));

const datastores = z.string().transform((text, context): ReadonlyMap<string, string> => {
  const found = new Map<string, string>();
  for (const part of text.split(',')) {
    const [name = '', folder = '', ...rest] = part.trim().split('=');
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) || !folder.startsWith('/') || rest.length > 0) {
      context.addIssue({ code: 'custom', message: `"${part}" is not name=/folder` });
    } else if (found.has(name)) {
      context.addIssue({ code: 'custom', message: `datastore ${name} is named twice` });
    } else found.set(name, folder);
  }
  return found;
});

const addresses = z.string().transform((text) =>
  text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== ''),
);

/** Settings of both the service and the plugin. */
export const common = {
  VDVS_SERVICE_PORT: port.default(8791),
  /** The first one is the default. */
  VDVS_DATASTORES: datastores.default(new Map([['default', '/var/lib/vdvs/datastores/default']])),
  VFILE_ETCD_CLIENT_PORT: port.default(2379),
  VFILE_CERTIFICATES: path.default('/run/swarm/certificates'),
  VFILE_DOCKER_SOCKET: path.default('/var/run/docker.sock'),
  VFILE_MANAGERS: addresses.optional(),
  VDVS_LOG_LEVEL: level.default('info'),
  /** For tests: the point at which the process dies; see `src/lib/failure-point.ts`. */
  VDVS_FAIL_AT: z.string().optional(),
};

const pluginSchema = z.object({
  ...common,
  /** Longer than a file server's, so that one without contact has stopped serving before its disk is taken from under it. */
  VDVS_LEASE_MS: whole(3_000, 120_000).default(6_000),
  VDVS_FENCE_MARGIN_MS: whole(500, 60_000).default(1_000),
  VDVS_MOUNT_ROOT: path.default('/mnt/vdvs/volumes'),
  VDVS_STATE: path.default('/var/lib/vdvs/state'),
  VDVS_PLUGIN_SOCKET: path.default('/run/docker/plugins/vdvs.sock'),
  VDVS_ATTACH_TIMEOUT_SECONDS: whole(5, 100).default(95),
  VDVS_EXT_OPTIONS: z.string().default('errors=remount-ro,commit=1'),
  VDVS_XFS_OPTIONS: z.string().default('nouuid,wsync'),
  VFILE_LOG_PATH: path.optional(),
  VFILE_LOG_MAX_SIZE_MB: whole(1, 10_000).default(10),
  VFILE_LOG_MAX_FILES: whole(1, 1_000).default(5),
  VFILE_LOG_MAX_AGE_DAYS: whole(1, 3_650).default(28),
});

/** Reads settings. @throws VolumeError `invalid` listing all problems at once. */
export function readEnvironment<T>(schema: z.ZodType<T>, env: Environment): T {
  // Docker hands over every setting of a plugin, the ones that nobody set as empty texts.
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    return `${name}=${JSON.stringify(given[name])}: ${issue.message}`;
  });
  throw new VolumeError('invalid', `settings: ${problems.join('; ')}`);
}

/** The common settings under the names that the code uses. */
export function commonSettings(s: z.infer<z.ZodObject<typeof common>>) {
  return {
    servicePort: s.VDVS_SERVICE_PORT,
    datastores: s.VDVS_DATASTORES,
    etcdClientPort: s.VFILE_ETCD_CLIENT_PORT,
    certificates: s.VFILE_CERTIFICATES,
    dockerSocket: s.VFILE_DOCKER_SOCKET,
    /** Addresses of the managers; `undefined`: as the engine tells. */
    managers: s.VFILE_MANAGERS,
    logLevel: s.VDVS_LOG_LEVEL,
    failAt: s.VDVS_FAIL_AT,
  } as const;
}

/** Settings of the vDVS plugin. @throws VolumeError `invalid` listing all problems at once. */
export function readPluginSettings(env: Environment) {
  const s = readEnvironment(pluginSchema, env);
  if (s.VDVS_FENCE_MARGIN_MS * 2 > s.VDVS_LEASE_MS) {
    throw new VolumeError('invalid', 'settings: VDVS_FENCE_MARGIN_MS must be at most half of VDVS_LEASE_MS');
  }
  const [defaultDatastore = ''] = s.VDVS_DATASTORES.keys();
  return Object.freeze({
    ...commonSettings(s),
    defaultDatastore,
    /** Without contact for this long a node loses its disks: short means fast failover, long means calm networks. */
    leaseMs: s.VDVS_LEASE_MS,
    /** File systems are shut down this long before the lease can have run out. */
    fenceMarginMs: s.VDVS_FENCE_MARGIN_MS,
    mountRoot: s.VDVS_MOUNT_ROOT,
    stateFolder: s.VDVS_STATE,
    attachMs: s.VDVS_ATTACH_TIMEOUT_SECONDS * 1_000,
    mountOptions: Object.freeze({ ext4: s.VDVS_EXT_OPTIONS, xfs: s.VDVS_XFS_OPTIONS }),
    log: Object.freeze({
      level: s.VDVS_LOG_LEVEL,
      ...(s.VFILE_LOG_PATH === undefined ? {} : { path: s.VFILE_LOG_PATH }),
      maxSizeMb: s.VFILE_LOG_MAX_SIZE_MB,
      maxFiles: s.VFILE_LOG_MAX_FILES,
      maxAgeDays: s.VFILE_LOG_MAX_AGE_DAYS,
    }),
  });
}
export type PluginSettings = ReturnType<typeof readPluginSettings>;
