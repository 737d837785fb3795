import { serviceNameOf } from '../vfile/names.ts';
import type { VolumeRecords } from '../vfile/read-volume.ts';
import type { MountRecord, VolumeStatus } from '../vfile/types.ts';

/** A volume as the admin API shows it. */
export interface VolumeReport {
  readonly name: string;
  readonly state: VolumeStatus['state'];
  readonly reason: string;
  readonly since: string | undefined;
  readonly deadline: string | undefined;
  readonly options: Readonly<Record<string, string>>;
  readonly baseDriver: string;
  readonly baseVolume: string;
  readonly port: number;
  readonly service: string;
  readonly server: { readonly host: string; readonly address: string; readonly epoch: number } | undefined;
  /** Where a second file server waits; host name. */
  readonly standby: string | undefined;
  /** Bytes. */
  readonly capacity: { readonly size: number; readonly used: number } | undefined;
  readonly mounts: readonly Pick<MountRecord, 'host' | 'address' | 'since' | 'ids'>[];
  readonly lastFailover: VolumeStatus['lastFailover'];
  readonly earlierFailovers: VolumeStatus['earlierFailovers'];
  /** Whether a move is asked for and not yet over. */
  readonly moving: boolean;
  readonly createdAt: string;
}

/** What the store holds of a volume, for people; `undefined` when there is no such volume. Pure. */
export function reportVolume(records: VolumeRecords): VolumeReport | undefined {
  const spec = records.spec?.value;
  if (!spec) return undefined;
  const status = records.status?.value;
  const server = records.server?.value;
  return {
    name: spec.name,
    state: status?.state ?? 'Creating',
    reason: status ? status.reason : 'waiting for the manager to begin',
    since: status?.since,
    deadline: status?.deadline,
    options: spec.options,
    baseDriver: spec.baseDriver,
    baseVolume: spec.baseVolume,
    port: spec.port,
    service: serviceNameOf(spec.name),
    server: server ? { host: server.host, address: server.address, epoch: server.epoch } : undefined,
    standby: status?.standby?.host,
    capacity: server?.capacity,
    mounts: records.mounts.map(({ value: { host, address, since, ids } }) => ({ host, address, since, ids })),
    lastFailover: status?.lastFailover,
    earlierFailovers: status?.earlierFailovers,
    moving: records.move !== undefined,
    createdAt: spec.createdAt,
  };
}
