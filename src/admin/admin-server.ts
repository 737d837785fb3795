import { createServer, type Server } from 'node:https';
import { TLSSocket } from 'node:tls';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import { errorTraits, toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { managerServerName, type NodeIdentity, type NodeIdentitySource } from '../lib/node-identity.ts';
import type { MoveAsked } from '../vfile/move-volume.ts';
import type { AdminData, EtcdView } from './admin-data.ts';

/** What administrators may order; the leading manager carries it out, whichever was asked. */
export interface AdminOrders {
  /** See `askForMove`. */
  move(volume: string, to: string | undefined): Promise<MoveAsked>;
  /** See `withdrawMove`. */
  withdrawMove(volume: string): Promise<void>;
  /** See `resizeVolume`; carried out by the one that was asked. */
  resize(volume: string, size: string): Promise<{ readonly growing: boolean }>;
}

/** What the API's server needs. */
export interface AdminServerParts {
  readonly data: AdminData;
  readonly orders: AdminOrders;
  /** etcd's members, asked for now. */
  readonly etcd: () => Promise<EtcdView>;
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

const resizeSchema = z.strictObject({ size: z.string().min(1).max(255) });
const moveSchema = z.strictObject({ to: z.string().min(1).max(255).optional() });

/** Any node may look; orders are for managers, as Docker's own are. @throws VolumeError `denied` for others. */
function onlyManagers({ socket }: Request, _response: Response, next: NextFunction): void {
  const role = socket instanceof TLSSocket ? socket.getPeerCertificate().subject?.OU : undefined;
  if (role !== managerServerName) {
    throw new VolumeError('denied', "only managers' certificates may give orders; ask on a manager");
  }
  next();
}

/** The routes: reading for every node, orders for managers. */
export function adminRoutes({
  data,
  orders,
  etcd,
  registry,
  log,
}: Pick<AdminServerParts, 'data' | 'orders' | 'etcd' | 'registry' | 'log'>): express.Express {
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
  app.post(
    '/v1/volumes/:name/move',
    onlyManagers,
    express.json({ limit: '4kb' }),
    async (request, response) => {
      const body = moveSchema.safeParse(request.body ?? {});
      if (!body.success) throw new VolumeError('invalid', z.prettifyError(body.error));
      response.json({ move: await orders.move(String(request.params.name), body.data.to) });
    },
  );
  app.delete('/v1/volumes/:name/move', onlyManagers, async (request, response) => {
    await orders.withdrawMove(String(request.params.name));
    response.json({ withdrawn: true });
  });
  app.post(
    '/v1/volumes/:name/resize',
    onlyManagers,
    express.json({ limit: '4kb' }),
    async (request, response) => {
      const body = resizeSchema.safeParse(request.body ?? {});
      if (!body.success) throw new VolumeError('invalid', z.prettifyError(body.error));
      response.json(await orders.resize(String(request.params.name), body.data.size));
    },
  );
  app.get('/v1/nodes', (_request, response) => {
    response.json({ ...data.freshness(), nodes: data.nodes() });
  });
  app.get('/v1/leader', (_request, response) => {
    response.json({ ...data.freshness(), leader: data.leader() ?? null });
  });
  app.get('/v1/etcd', async (_request, response) => {
    response.json({ ...data.freshness(), etcd: data.etcd(await etcd()) });
  });
  app.get('/metrics', async (_request, response) => {
    response.type(registry.contentType).send(await registry.metrics());
  });
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
