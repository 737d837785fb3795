import express, { type ErrorRequestHandler, type Express, type Request } from 'express';
import { type ErrorCode, errorTraits, toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import {
  apiPrefix,
  attachRequestSchema,
  createRequestSchema,
  detachRequestSchema,
  formattedRequestSchema,
} from '../api.ts';
import { concealGroups } from '../rules/group-names.ts';
import { plainView, type Tenants } from '../rules/tenants.ts';
import type { AdminRoutes } from './admin-routes.ts';
import type { Attachments } from './attachments.ts';
import { addDiskRoutes, type DiskNames, type DiskOperations } from './disk-routes.ts';
import { bodyOf, callerNode } from './http-request.ts';
import { untilGone, volumeOf } from './http-volume.ts';
import type { Volumes } from './volumes.ts';

/** The service's operations behind HTTP. */
export interface HttpApiParts {
  readonly volumes: Volumes;
  readonly attachments: Attachments;
  /** What the names mean that the caller uses. */
  readonly tenants: Tenants;
  /** Routes of the administrator. */
  readonly admin: AdminRoutes;
  readonly disks: DiskOperations;
  readonly names: DiskNames;
  readonly log: Log;
}

/** Those who wait for a disk are told `busy` again and again: not worth a line each. */
function levelOf(code: ErrorCode): 'error' | 'info' | 'debug' {
  if (code === 'internal') return 'error';
  return code === 'busy' ? 'debug' : 'info';
}

/** The vDVS service's HTTP API. The caller is who its certificate says, whatever the request says. */
export function createHttpApi(parts: HttpApiParts): Express {
  const { volumes, attachments, tenants, admin, log } = parts;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(express.json({ limit: '1mb' }));
  const one = `${apiPrefix}/volumes/:datastore/:name`;
  const meant = (request: Request, use?: 'remove') =>
    tenants.resolve(callerNode(request), volumeOf(request), use);

  app.get(`${apiPrefix}/health`, (_request, response) => {
    response.json({});
  });
  app.get(`${apiPrefix}/self`, async (request, response) => {
    response.json(await tenants.self(callerNode(request)));
  });
  app.get(`${apiPrefix}/volumes`, async (request, response) => {
    response.json({ volumes: await tenants.visible(callerNode(request), await volumes.list()) });
  });
  app.post(`${apiPrefix}/volumes`, async (request, response) => {
    const { name, datastore, options: given, host } = bodyOf(createRequestSchema, request);
    const caller = { node: callerNode(request), host };
    const signal = untilGone(response);
    const { id, options } = await tenants.resolveNew(caller.node, { name, datastore }, given);
    response.json(plainView(await volumes.create(caller, id, options, signal)));
  });
  app.get(one, async (request, response) => {
    response.json(plainView(await volumes.get(await meant(request))));
  });
  app.delete(one, async (request, response) => {
    await volumes.remove(await meant(request, 'remove'));
    response.json({});
  });
  app.post(`${one}/attach`, async (request, response) => {
    const { lease, host, waitMs } = bodyOf(attachRequestSchema, request);
    const caller = { node: callerNode(request), host };
    const signal = untilGone(response);
    const guessed = tenants.guess(caller.node, volumeOf(request));
    const state = guessed && (await attachments.look(guessed));
    signal.throwIfAborted();
    const free = guessed && state && (await attachments.attachFree(caller, guessed, { lease }, state));
    if (free) return void response.json(plainView(free));
    const id = await meant(request);
    const early = id.name === guessed?.name ? state : undefined;
    response.json(plainView(await attachments.attach(caller, id, { lease, waitMs }, signal, early)));
  });
  app.post(`${one}/detach`, async (request, response) => {
    const { epoch, clean, createdAt } = bodyOf(detachRequestSchema, request);
    const id = await meant(request);
    await attachments.detach({ node: callerNode(request), host: '' }, id, epoch, clean, createdAt);
    response.json({});
  });
  app.post(`${one}/formatted`, async (request, response) => {
    const { epoch } = bodyOf(formattedRequestSchema, request);
    const id = await meant(request);
    await attachments.formatted({ node: callerNode(request), host: '' }, id, epoch);
    response.json({});
  });
  admin.mount(app);

  addDiskRoutes(app, parts.disks, parts.names);

  app.use((request) => {
    throw new VolumeError('invalid', `${request.method} ${request.path} is not part of this API`);
  });
  const onError: ErrorRequestHandler = (thrown, request, response, _next) => {
    const error = toVolumeError(thrown);
    log[levelOf(error.code)]('request failed', {
      request: `${request.method} ${request.path}`,
      code: error.code,
      error: error.message,
    });
    if (response.destroyed || response.headersSent) return;
    response
      .status(errorTraits[error.code].httpStatus)
      .json({ code: error.code, message: concealGroups(error.message) });
  };
  app.use(onError);
  return app;
}
