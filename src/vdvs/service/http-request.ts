import type { TLSSocket } from 'node:tls';
import type { Request, Response } from 'express';
import type { z } from 'zod';
import { VolumeError } from '../../lib/errors.ts';
import type { VolumeId } from '../types.ts';

/** The node that the caller's certificate names. @throws VolumeError `denied` when there is none. */
export function callerNode(request: Request): string {
  const certificate = (request.socket as TLSSocket).getPeerCertificate();
  const name = certificate.subject?.CN;
  if (typeof name === 'string' && name !== '') return name;
  throw new VolumeError('denied', 'the client certificate names no node');
}

/** A request's body. @throws VolumeError `invalid` naming what is malformed. */
export function body<T>(schema: z.ZodType<T>, request: Request): T {
  const parsed = schema.safeParse(request.body);
  if (parsed.success) return parsed.data;
  const why = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  throw new VolumeError('invalid', `malformed request: ${why}`);
}

/** The volume or snapshot that the path names. */
export function volumeOf(request: Request): VolumeId {
  const { datastore, name } = request.params;
  if (typeof datastore !== 'string' || typeof name !== 'string') {
    throw new VolumeError('invalid', 'malformed request: no volume');
  }
  return { datastore, name };
}

/** Ends when the caller hangs up: nothing is to be granted to somebody who is not there any more. */
export function untilGone(response: Response): AbortSignal {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new VolumeError('unavailable', 'the caller hung up')));
  return gone.signal;
}

/** What only an administrator may ask, who works on a manager. @throws VolumeError `denied` for any other node. */
export function requireManager(request: Request): void {
  const { subject } = (request.socket as TLSSocket).getPeerCertificate();
  if (subject?.OU === 'swarm-manager') return;
  throw new VolumeError('denied', 'this is possible on managers only');
}
