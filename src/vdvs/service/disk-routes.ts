import type { Express, Request } from 'express';
import { adminPrefix } from '../admin-api.ts';
import { apiPrefix } from '../api.ts';
import {
  grownRequestSchema,
  resizeRequestSchema,
  scanRequestSchema,
  snapshotRequestSchema,
  tasksRequestSchema,
} from '../disk-api.ts';
import { plainRecord, plainView } from '../rules/tenants.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { bodyOf, callerNode, pathPart } from './http-request.ts';
import { untilGone, volumeOf } from './http-volume.ts';
import type { Resizing } from './resize.ts';
import type { Scanner } from './scan.ts';
import type { Snapshots } from './snapshots.ts';

/** What can be done with disks beyond their volumes' life. */
export interface DiskOperations {
  readonly resizing: Resizing;
  readonly snapshots: Snapshots;
  readonly scanner: Scanner;
}

/** What the names in requests mean, where name spaces are in use. */
export interface DiskNames {
  /** What an administrator means. @param vmgroup the group in whose name space it is; `undefined`: the default one. */
  ofAdmin(vmgroup: string | undefined, id: VolumeId): Promise<VolumeId>;
  /** What a node means. */
  ofNode(node: string, id: VolumeId): Promise<VolumeId>;
  /** The name as its users know it. */
  shown(id: VolumeId): VolumeId;
  /** Name of the group in whose name space something is; '' for what is everybody's. */
  groups(): Promise<(id: VolumeId) => string>;
}

/**
 * Growing, snapshots and scans behind HTTP. What is below the administrator's prefix is for managers, which `admin-routes.ts`
 * sees to: mount those first. Administrators name a group as `?vmgroup=`.
 */
export function addDiskRoutes(app: Express, operations: DiskOperations, names: DiskNames): void {
  const { resizing, snapshots, scanner } = operations;
  const one = '/volumes/:datastore/:name';
  const admin = (path: string) => `${adminPrefix}${path}`;
  const meant = (request: Request) => {
    const { vmgroup } = request.query;
    return names.ofAdmin(typeof vmgroup === 'string' ? vmgroup : undefined, volumeOf(request));
  };

  const withGroups = async (records: readonly VolumeRecord[]) => {
    const groupOf = await names.groups();
    return records.map((record) => ({ ...plainRecord(record), vmgroup: groupOf(record) }));
  };

  app.post(admin(`${one}/resize`), async (request, response) => {
    const { size, host } = bodyOf(resizeRequestSchema, request);
    const caller = { node: callerNode(request), host };
    const view = await resizing.resize(caller, await meant(request), size);
    response.json(plainView(view));
  });
  app.post(`${apiPrefix}${one}/grown`, async (request, response) => {
    const { epoch, sizeBytes } = bodyOf(grownRequestSchema, request);
    const caller = { node: callerNode(request), host: '' };
    const id = await names.ofNode(caller.node, volumeOf(request));
    await resizing.grown(caller, id, epoch, sizeBytes);
    response.json({});
  });
  app.post(`${apiPrefix}/tasks`, async (request, response) => {
    const { waitMs } = bodyOf(tasksRequestSchema, request);
    const caller = { node: callerNode(request), host: '' };
    const tasks = await resizing.tasks(caller, waitMs, untilGone(response));
    response.json({ grow: tasks.map((task) => ({ ...task, volume: names.shown(task.volume) })) });
  });

  app.get(admin(`${one}/snapshots`), async (request, response) => {
    response.json({ snapshots: await withGroups(await snapshots.list(await meant(request))) });
  });
  app.post(admin(`${one}/snapshots`), async (request, response) => {
    const { host } = bodyOf(snapshotRequestSchema, request);
    const caller = { node: callerNode(request), host };
    response.json({ record: plainRecord(await snapshots.create(caller, await meant(request))) });
  });
  app.get(admin('/snapshots'), async (_request, response) => {
    response.json({ snapshots: await withGroups(await snapshots.list()) });
  });
  app.delete(admin('/snapshots/:datastore/:name'), async (request, response) => {
    await snapshots.remove(await meant(request));
    response.json({});
  });

  app.post(admin('/datastores/:datastore/scan'), async (request, response) => {
    const datastore = pathPart(request, 'datastore');
    response.json(await scanner.scan(datastore, bodyOf(scanRequestSchema, request)));
  });
}
