import express, { type ErrorRequestHandler, type Express } from 'express';
import { errorTraits, toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import {
  apiPrefix,
  attachRequestSchema,
  createRequestSchema,
  detachRequestSchema,
  formattedRequestSchema,
} from '../api.ts';
import type { Attachments } from './attachments.ts';
import { addDiskRoutes, type DiskNames, type DiskOperations } from './disk-routes.ts';
import { bodyOf, callerNode } from './http-request.ts';
import { untilGone, volumeOf } from './http-volume.ts';
import type { Volumes } from './volumes.ts';

/** The service's operations behind HTTP. */
export interface HttpApiParts {
  readonly volumes: Volumes;
  readonly attachments: Attachments;
  readonly disks: DiskOperations;
  readonly names: DiskNames;
  readonly log: Log;
}

/** The vDVS service's HTTP API. The caller is who its certificate says, whatever the request says. */
export function createHttpApi({ volumes, attachments, disks, names, log }: HttpApiParts): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(express.json({ limit: '1mb' }));
  const one = `${apiPrefix}/volumes/:datastore/:name`;

  app.get(`${apiPrefix}/health`, (_request, response) => {
    response.json({});
  });
  app.get(`${apiPrefix}/volumes`, async (_request, response) => {
    response.json({ volumes: await volumes.list() });
  });
  app.post(`${apiPrefix}/volumes`, async (request, response) => {
    const { name, datastore, options, host } = bodyOf(createRequestSchema, request);
    const caller = { node: callerNode(request), host };
    response.json(await volumes.create(caller, { name, datastore }, options));
  });
  app.get(one, async (request, response) => {
    response.json(await volumes.get(volumeOf(request)));
  });
  app.delete(one, async (request, response) => {
    await volumes.remove(volumeOf(request));
    response.json({});
  });
  app.post(`${one}/attach`, async (request, response) => {
    const { lease, host, waitMs } = bodyOf(attachRequestSchema, request);
    const caller = { node: callerNode(request), host };
    const signal = untilGone(response);
    response.json(await attachments.attach(caller, volumeOf(request), { lease, waitMs }, signal));
  });
  app.post(`${one}/detach`, async (request, response) => {
    const { epoch, clean } = bodyOf(detachRequestSchema, request);
    await attachments.detach({ node: callerNode(request), host: '' }, volumeOf(request), epoch, clean);
    response.json({});
  });
  app.post(`${one}/formatted`, async (request, response) => {
    const { epoch } = bodyOf(formattedRequestSchema, request);
    await attachments.formatted({ node: callerNode(request), host: '' }, volumeOf(request), epoch);
    response.json({});
  });

  addDiskRoutes(app, disks, names);

  app.use((request) => {
    throw new VolumeError('invalid', `${request.method} ${request.path} is not part of this API`);
  });
  const onError: ErrorRequestHandler = (thrown, request, response, _next) => {
    const error = toVolumeError(thrown);
    const level = error.code === 'internal' ? 'error' : 'info';
    log[level]('request failed', {
      request: `${request.method} ${request.path}`,
      code: error.code,
      error: error.message,
    });
    if (response.destroyed || response.headersSent) return;
    response.status(errorTraits[error.code].httpStatus).json({ code: error.code, message: error.message });
  };
  app.use(onError);
  return app;
}
