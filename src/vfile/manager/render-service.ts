import type { ServiceSpec } from '../../swarm/swarm.ts';
import { serverHostnameOf, serviceNameOf, volumeLabels } from '../names.ts';
import { checkOptions } from '../options.ts';
import type { VfileSettings } from '../settings.ts';
import type { VolumeSpec } from '../types.ts';

/** Where the file server sees its block volume and the node's certificates. */
const exportRoot = '/export-root';
const certificatesInside = '/run/swarm/certificates';

/** Longer than an orderly stop takes (parking, ganesha's end, letting go); a stop that hangs is killed then. */
const stopGraceMs = 10_000;

/** The settings that a file server is given. */
export type ServiceSettings = Pick<
  VfileSettings,
  | 'fileserverImage'
  | 'fileserverCapabilities'
  | 'certificatesHostPath'
  | 'etcdClientPort'
  | 'serverLeaseMs'
  | 'log'
>;

/**
 * The Swarm service that serves a volume. Pure. What else the volume's options ask for (owner, mode, access) the file
 * server reads from the spec itself.
 * @param managers addresses of the managers, where etcd is.
 */
export function renderService(options: {
  readonly spec: VolumeSpec;
  readonly clusterId: string;
  readonly constraints: readonly string[];
  readonly managers: readonly string[];
  readonly settings: ServiceSettings;
}): ServiceSpec {
  const { spec, clusterId, constraints, managers, settings } = options;
  const { leaseMs } = checkOptions(spec.options, spec.baseDriver);
  return {
    name: serviceNameOf(spec.name),
    labels: volumeLabels(clusterId, spec.name),
    image: settings.fileserverImage,
    command: ['node', '/opt/vfile/file-server.mjs'],
    env: {
      VFILE_VOLUME: spec.name,
      // Filled in by Swarm for the node that the task comes to.
      VFILE_NODE_ID: '{{.Node.ID}}',
      VFILE_NODE_HOSTNAME: '{{.Node.Hostname}}',
      VFILE_PORT: String(spec.port),
      VFILE_MANAGERS: [...managers].sort().join(','),
      VFILE_ETCD_CLIENT_PORT: String(settings.etcdClientPort),
      VFILE_CERTIFICATES: certificatesInside,
      VFILE_EXPORT_ROOT: exportRoot,
      VFILE_SERVER_LEASE_MS: String(leaseMs ?? settings.serverLeaseMs),
      VDVS_LOG_LEVEL: settings.log.level,
    },
    hostname: serverHostnameOf(spec.name),
    mounts: [
      { type: 'volume', source: spec.baseVolume, target: exportRoot, driver: spec.baseDriver },
      { type: 'bind', source: settings.certificatesHostPath, target: certificatesInside, readOnly: true },
    ],
    capabilities: settings.fileserverCapabilities.map((name) => `CAP_${name}`),
    constraints,
    // A standby is added once the volume is served: until then a second task would only slow the first one down.
    replicas: 1,
    maxReplicasPerNode: 1,
    stopGraceMs,
  };
}
