import type { TLSSocket } from 'node:tls';
import express, { type Express } from 'express';
import { z } from 'zod';
import { VolumeError } from '../lib/errors.ts';
import { managerServerName } from '../lib/node-identity.ts';

/** What the API changes. */
export interface AdminActions {
  /** @returns whether the file system still has to follow, by itself. @throws VolumeError as `resizeVolume`. */
  resize(name: string, size: string): Promise<{ readonly growing: boolean }>;
}

const resizeRequest = z.object({ size: z.string() });

/** Routes that change something: for callers with a manager's certificate only. */
export function addActions(app: Express, actions: AdminActions): void {
  app.post('/v1/volumes/:name/resize', express.json(), async (request, response) => {
    if ((request.socket as TLSSocket).getPeerCertificate().subject?.OU !== managerServerName) {
      throw new VolumeError('denied', 'only managers of the Swarm may do this');
    }
    const parsed = resizeRequest.safeParse(request.body);
    if (!parsed.success) throw new VolumeError('invalid', 'malformed request: {"size": "20gb"} is expected');
    response.json(await actions.resize(request.params.name ?? '', parsed.data.size));
  });
}
