import { z } from 'zod';
import { VolumeError } from '../../lib/errors.ts';

/** Settings that only the plugin has: where things are in its container. */
export interface NodeSettings {
  /** Where volumes are mounted: directly below the propagated mount, of which the engine sees all. */
  readonly mountRoot: string;
  readonly sysfs: string;
  /** Further NFS mount options, comma separated; they win over ours. */
  readonly nfsOptions: string;
}

const path = z.string().startsWith('/');
const schema = z.object({
  VFILE_MOUNT_ROOT: path.default('/mnt/vfile/volumes'),
  VFILE_PLUGIN_SOCKET: path.default('/run/docker/plugins/vfile.sock'),
  VFILE_SYSFS: path.default('/sys'),
  VFILE_NFS_OPTIONS: z
    .string()
    .regex(/^[a-z0-9_]+(=[^,\s]+)?(,[a-z0-9_]+(=[^,\s]+)?)*$/, 'must look like name=value,name')
    .optional(),
});

/**
 * The plugin's own settings from the environment. Pure. Empty texts count as not set.
 * @throws VolumeError `invalid` listing all problems.
 */
export function readNodeSettings(env: Readonly<Record<string, string | undefined>>): NodeSettings {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(given);
  if (!parsed.success) throw new VolumeError('invalid', `settings: ${z.prettifyError(parsed.error)}`);
  const s = parsed.data;
  return Object.freeze({
    mountRoot: s.VFILE_MOUNT_ROOT,
    sysfs: s.VFILE_SYSFS,
    nfsOptions: s.VFILE_NFS_OPTIONS ?? '',
  });
}
