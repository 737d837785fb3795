import type { MountRecord, ServerRecord, VolumeSpec, VolumeStatus } from '../types.ts';

/** What `docker volume inspect` is made from. */
export interface InspectInput {
  readonly spec: VolumeSpec;
  readonly status: VolumeStatus | undefined;
  readonly server: ServerRecord | undefined;
  readonly mounts: readonly MountRecord[];
  /** Why the answer may be old; `undefined` when it is current. */
  readonly stale: string | undefined;
  /** Troubles with the volume on this very node. */
  readonly localProblem: string | undefined;
}

/**
 * The `Status` of a volume. The first five keys are what users of the earlier vFile have scripts for. A key that has
 * nothing to say is left out.
 */
export function inspectStatus(input: InspectInput): Record<string, unknown> {
  const { spec, status, server, mounts, stale, localProblem } = input;
  const shown: Record<string, unknown> = {
    'Volume Status': spec.deleting ? 'Deleting' : (status?.state ?? 'Creating'),
    'Global Refcount': mounts.length,
    'File server Port': spec.port,
    'Service name': status?.serviceName ?? '',
    Clients: mounts.length > 0 ? mounts.map((mount) => mount.address) : null,
    'Base volume': spec.baseVolume,
    'Base driver': spec.baseDriver,
  };
  const further: Record<string, unknown> = {
    Reason: status?.state === 'Error' ? undefined : status?.reason || undefined,
    Error: status?.state === 'Error' ? status.reason : undefined,
    Since: status?.since,
    Deadline: status?.deadline,
    'Server node': server?.host,
    'Server address': server?.address,
    'Standby node': status?.standby?.host,
    Capacity: server?.capacity?.size,
    Used: server?.capacity?.used,
    'Last failover': status?.lastFailover,
    'Mounted by':
      mounts.length > 0
        ? Object.fromEntries(mounts.map((mount) => [mount.host, Object.keys(mount.ids).length]))
        : undefined,
    'Trouble on this node': localProblem,
    'Last known': stale ? `may be out of date: ${stale}` : undefined,
  };
  for (const [key, value] of Object.entries(further)) if (value !== undefined) shown[key] = value;
  return shown;
}
