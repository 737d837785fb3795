import { adminPrefix } from './admin-api.ts';
import { apiPrefix, doneSchema, type VolumeView, volumeViewSchema } from './api.ts';
import {
  type ScanReport,
  type SnapshotView,
  scanReportSchema,
  snapshotListSchema,
  snapshotSchema,
  tasksSchema,
} from './disk-api.ts';
import { callTimes, createServiceCaller, pathOf, type ServiceClientParts } from './service-caller.ts';
import type { VolumeId, VolumeRecord } from './types.ts';

/** Growing file systems, as a node sees it. */
export interface GrowClient {
  /** Volumes of this node whose file systems are smaller than asked for; waits up to `waitMs` ms for one. */
  tasks(waitMs: number): Promise<{ volume: VolumeId; sizeBytes: number }[]>;
  grown(id: VolumeId, epoch: number, sizeBytes: number): Promise<void>;
}

/** A volume or snapshot as an administrator names it. */
export interface AdminVolumeId extends VolumeId {
  /** Group in whose name space it is; absent: the default one. */
  readonly vmgroup?: string | undefined;
}

/** What an administrator does with disks. The caller's certificate has to be a manager's. */
export interface DiskAdminClient {
  /** @returns the volume; `record.growing` while its file system has not followed. */
  resize(id: AdminVolumeId, size: string): Promise<VolumeView>;
  createSnapshot(volume: AdminVolumeId): Promise<VolumeRecord>;
  /** Of one volume, or of all. */
  snapshots(volume?: AdminVolumeId): Promise<SnapshotView[]>;
  removeSnapshot(id: AdminVolumeId): Promise<void>;
  scan(datastore: string, request: { adopt: boolean; dryRun: boolean }): Promise<ScanReport>;
}

function adminPath(id: VolumeId, action: string): string {
  return pathOf(id, action).replace(apiPrefix, adminPrefix);
}

function inGroup(path: string, { vmgroup }: AdminVolumeId): string {
  return vmgroup === undefined ? path : `${path}?vmgroup=${encodeURIComponent(vmgroup)}`;
}

/** ms: copying and allocating take their time, and silence says nothing then. */
const longTimes = { patienceMs: 15_000, deadlineMs: 600_000 } as const;

/** The node's part, over all managers. */
export function createGrowClient(parts: ServiceClientParts): GrowClient {
  const call = createServiceCaller(parts);
  return {
    async tasks(waitMs) {
      const { grow } = await call({
        method: 'POST',
        path: `${apiPrefix}/tasks`,
        body: { waitMs },
        schema: tasksSchema,
        patienceMs: waitMs + callTimes.patienceMs,
        deadlineMs: waitMs + callTimes.deadlineMs,
      });
      return grow;
    },
    async grown(id, epoch, sizeBytes) {
      await call({
        method: 'POST',
        path: pathOf(id, 'grown'),
        body: { epoch, sizeBytes },
        schema: doneSchema,
        ...callTimes,
      });
    },
  };
}

/** The administrator's part, over all managers. */
export function createDiskAdminClient(parts: ServiceClientParts): DiskAdminClient {
  const { host } = parts;
  const call = createServiceCaller(parts);
  return {
    resize: (id, size) =>
      call({
        method: 'POST',
        path: inGroup(adminPath(id, 'resize'), id),
        body: { size, host },
        schema: volumeViewSchema,
        ...longTimes,
        // The service waits for the node by itself.
        patienceMs: 30_000,
      }),
    async createSnapshot(volume) {
      // Asked twice it is taken twice: only who refused at once is followed by another manager.
      const times = { patienceMs: longTimes.deadlineMs, deadlineMs: longTimes.deadlineMs };
      const path = inGroup(adminPath(volume, 'snapshots'), volume);
      return (await call({ method: 'POST', path, body: { host }, schema: snapshotSchema, ...times })).record;
    },
    async snapshots(volume) {
      const path = volume ? inGroup(adminPath(volume, 'snapshots'), volume) : `${adminPrefix}/snapshots`;
      return (await call({ method: 'GET', path, schema: snapshotListSchema, ...callTimes })).snapshots;
    },
    async removeSnapshot(id) {
      const [datastore, name] = [id.datastore, id.name].map(encodeURIComponent);
      const path = inGroup(`${adminPrefix}/snapshots/${datastore}/${name}`, id);
      await call({ method: 'DELETE', path, schema: doneSchema, ...callTimes, doneBefore: 'not_found' });
    },
    scan: (datastore, request) =>
      call({
        method: 'POST',
        path: `${adminPrefix}/datastores/${encodeURIComponent(datastore)}/scan`,
        body: request,
        schema: scanReportSchema,
        ...longTimes,
      }),
  };
}
