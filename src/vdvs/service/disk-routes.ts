import type { Express } from 'express';
import { VolumeError } from '../../lib/errors.ts';
import { apiPrefix } from '../api.ts';
import {
  grownRequestSchema,
  resizeRequestSchema,
  scanRequestSchema,
  snapshotRequestSchema,
  tasksRequestSchema,
} from '../disk-api.ts';
import { body, callerNode, requireManager, untilGone, volumeOf } from './http-request.ts';
import type { Resizing } from './resize.ts';
import type { Scanner } from './scan.ts';
import type { Snapshots } from './snapshots.ts';

/** What can be done with disks beyond their volumes' life. */
export interface DiskOperations {
  readonly resizing: Resizing;
  readonly snapshots: Snapshots;
  readonly scanner: Scanner;
}

/** Growing, snapshots and scans behind HTTP. */
export function addDiskRoutes(app: Express, { resizing, snapshots, scanner }: DiskOperations): void {
  const one = `${apiPrefix}/volumes/:datastore/:name`;

  app.post(`${one}/resize`, async (request, response) => {
    requireManager(request);
    const { size, host } = body(resizeRequestSchema, request);
    const caller = { node: callerNode(request), host };
    response.json(await resizing.resize(caller, volumeOf(request), size));
  });
  app.post(`${one}/grown`, async (request, response) => {
    const { epoch, sizeBytes } = body(grownRequestSchema, request);
    const caller = { node: callerNode(request), host: '' };
    await resizing.grown(caller, volumeOf(request), epoch, sizeBytes);
    response.json({});
  });
  app.post(`${apiPrefix}/tasks`, async (request, response) => {
    const { waitMs } = body(tasksRequestSchema, request);
    const caller = { node: callerNode(request), host: '' };
    response.json({ grow: await resizing.tasks(caller, waitMs, untilGone(response)) });
  });

  app.get(`${apiPrefix}/snapshots`, async (_request, response) => {
    response.json({ snapshots: await snapshots.list() });
  });
  app.get(`${one}/snapshots`, async (request, response) => {
    response.json({ snapshots: await snapshots.list(volumeOf(request)) });
  });
  app.post(`${one}/snapshots`, async (request, response) => {
    requireManager(request);
    const { host } = body(snapshotRequestSchema, request);
    const caller = { node: callerNode(request), host };
    response.json({ record: await snapshots.create(caller, volumeOf(request)) });
  });
  app.delete(`${apiPrefix}/snapshots/:datastore/:name`, async (request, response) => {
    requireManager(request);
    await snapshots.remove(volumeOf(request));
    response.json({});
  });

  app.post(`${apiPrefix}/datastores/:datastore/scan`, async (request, response) => {
    requireManager(request);
    const { datastore } = request.params;
    if (typeof datastore !== 'string') throw new VolumeError('invalid', 'malformed request: no datastore');
    response.json(await scanner.scan(datastore, body(scanRequestSchema, request)));
  });
}
