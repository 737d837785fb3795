import { z } from 'zod';
import { VolumeError } from '../lib/errors.ts';
import { version } from '../lib/version.ts';
import type { PluginWish } from './plan-plugin.ts';

const flag = z.enum(['true', 'false']).transform((text) => text === 'true');
const schema = z.object({
  /** Where registries have the plugins. Empty: they are installed on the nodes by other means. */
  VFILE_PLUGIN_IMAGE: z.string().optional(),
  VDVS_PLUGIN_IMAGE: z.string().optional(),
  /**
   * Whether a plugin is stopped for an upgrade or a setting while containers use its volumes. vFile's containers do not
   * notice. vDVS' disks are guarded by its plugin and are shut down with it.
   */
  VFILE_UPGRADE_IN_USE: flag.default(true),
  VDVS_UPGRADE_IN_USE: flag.default(false),
  VFILE_DOCKER_SOCKET: z.string().startsWith('/').default('/var/run/docker.sock'),
  /** The host's /var/lib as this process sees it. */
  VFILE_HOST_VAR_LIB: z.string().startsWith('/').default('/host/var/lib'),
  VDVS_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

/** Settings of the installer. */
export interface InstallerSettings {
  readonly dockerSocket: string;
  readonly hostVarLib: string;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** The plugins, vDVS first; `dataRoot` is the engine's directory on this host. */
  wishes(dataRoot: string): readonly PluginWish[];
}

/** These name things inside this container, or are this program's own: they are not the plugins' settings. */
const own = new Set([...Object.keys(schema.shape), 'VFILE_CERTIFICATES', 'VFILE_CERTIFICATES_HOST_PATH']);

/**
 * Settings from the environment; empty values count as not given. Every other `VFILE_...` and `VDVS_...` is a setting for
 * the plugins; each takes those that it knows.
 * @throws VolumeError `invalid` naming all that is wrong.
 */
export function readInstallerSettings(env: Readonly<Record<string, string | undefined>>): InstallerSettings {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new VolumeError('invalid', `settings of the installer: ${problems.join('; ')}`);
  }
  const s = parsed.data;
  const forPlugins = Object.fromEntries(
    Object.entries(given).flatMap(([key, value]): [string, string][] =>
      value !== undefined && /^(VFILE|VDVS)_/.test(key) && (!own.has(key) || key === 'VDVS_LOG_LEVEL')
        ? [[key, value]]
        : [],
    ),
  );
  const wish = (
    name: string,
    image: string | undefined,
    interrupt: boolean,
    dataRoot: string,
  ): PluginWish => ({
    name,
    version,
    image,
    settings: { ...forPlugins, 'swarm.source': `${dataRoot}/swarm` },
    interrupt,
  });
  return Object.freeze({
    dockerSocket: s.VFILE_DOCKER_SOCKET,
    hostVarLib: s.VFILE_HOST_VAR_LIB,
    logLevel: s.VDVS_LOG_LEVEL,
    wishes: (dataRoot: string) => [
      wish('vdvs:latest', s.VDVS_PLUGIN_IMAGE, s.VDVS_UPGRADE_IN_USE, dataRoot),
      wish('vfile:latest', s.VFILE_PLUGIN_IMAGE, s.VFILE_UPGRADE_IN_USE, dataRoot),
    ],
  });
}
