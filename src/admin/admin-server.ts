import { createServer, type Server } from 'node:https';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { Registry } from 'prom-client';
import { errorTraits, toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { NodeIdentity, NodeIdentitySource } from '../lib/node-identity.ts';
import { type AdminActions, addActions } from './admin-actions.ts';
import type { AdminData } from './admin-data.ts';

/** What the API's server needs. */
export interface AdminServerParts {
  readonly data: AdminData;
  readonly actions: AdminActions;
  readonly registry: Registry;
  readonly identity: NodeIdentitySource;
  /** 0 takes any free port. */
  readonly port: number;
  readonly log: Log;
}

/** A server that is listening. */
export interface AdminServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** The routes. */
export function adminRoutes({
  data,
  actions,
  registry,
  log,
}: Pick<AdminServerParts, 'data' | 'actions' | 'registry' | 'log'>): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/v1/volumes', (_request, response) => {
    response.json({ ...data.freshness(), volumes: data.volumes() });
  });
  app.get('/v1/volumes/:name', (request, response) => {
    const volume = data.volume(request.params.name);
    if (!volume) throw new VolumeError('not_found', `no such volume: ${request.params.name}`);
    response.json({ ...data.freshness(), volume });
  });
  app.get('/v1/nodes', (_request, response) => {
    response.json({ ...data.freshness(), nodes: data.nodes() });
  });
  app.get('/v1/leader', (_request, response) => {
    response.json({ ...data.freshness(), leader: data.leader() ?? null });
  });
  app.get('/metrics', async (_request, response) => {
    response.type(registry.contentType).send(await registry.metrics());
  });
  addActions(app, actions);
  app.use((request: Request) => {
    throw new VolumeError('not_found', `nothing is at ${request.path}`);
  });
  app.use((thrown: unknown, request: Request, response: Response, _next: NextFunction) => {
    const { code, message } = toVolumeError(thrown);
    if (code === 'internal') log.error('request failed', { path: request.path, why: message });
    response.status(errorTraits[code].httpStatus).json({ error: { code, message } });
  });
  return app;
}

function secure({ tls }: NodeIdentity) {
  // Whoever shows a certificate of this Swarm is one of its nodes; nobody else gets past the handshake.
  return { cert: tls.cert, key: tls.key, ca: tls.ca, requestCert: true, rejectUnauthorized: true } as const;
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (thrown) =>
      reject(
        new VolumeError('unavailable', `admin API: cannot listen on port ${port}: ${thrown.message}`, {
          cause: thrown,
        }),
      ),
    );
    server.listen(port, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}

/** Serves the API to the nodes of this Swarm, over mutual TLS, following renewals of the node's certificate. */
export async function startAdminServer(parts: AdminServerParts): Promise<AdminServer> {
  const { identity, log } = parts;
  const server = createServer(secure(await identity.current()), adminRoutes(parts));
  const unfollow = identity.onChange((now) => server.setSecureContext(secure(now)));
  const port = await listen(server, parts.port);
  log.info('admin API listens', { port });
  return {
    port,
    stop: () =>
      new Promise((resolve) => {
        unfollow();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
