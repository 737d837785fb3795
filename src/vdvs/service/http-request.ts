import type { TLSSocket } from 'node:tls';
import type { Request } from 'express';
import type { z } from 'zod';
import { VolumeError } from '../../lib/errors.ts';
import { managerServerName } from '../../lib/node-identity.ts';

function subject(request: Request) {
  return (request.socket as TLSSocket).getPeerCertificate().subject;
}

/** The node that the caller's certificate names. @throws VolumeError `denied` when there is none. */
export function callerNode(request: Request): string {
  const name = subject(request)?.CN;
  if (typeof name === 'string' && name !== '') return name;
  throw new VolumeError('denied', 'the client certificate names no node');
}

/** @throws VolumeError `denied` unless the caller's certificate is a manager's. */
export function requireManager(request: Request): void {
  const role = subject(request)?.OU;
  if (role === managerServerName) return;
  throw new VolumeError(
    'denied',
    `only managers of the Swarm may do this; the client certificate's role is "${String(role)}"`,
  );
}

/** The body in the form that a route takes. @throws VolumeError `invalid` naming what is wrong. */
export function bodyOf<T>(schema: z.ZodType<T>, request: Request): T {
  const parsed = schema.safeParse(request.body ?? {});
  if (parsed.success) return parsed.data;
  const why = parsed.error.issues
    .map((issue) => [issue.path.join('.'), issue.message].filter((text) => text !== '').join(': '))
    .join('; ');
  throw new VolumeError('invalid', `malformed request: ${why}`);
}

/** A part of the path. @throws VolumeError `invalid` when it is missing. */
export function pathPart(request: Request, name: string): string {
  const part = request.params[name];
  if (typeof part === 'string' && part !== '') return part;
  throw new VolumeError('invalid', `malformed request: no ${name}`);
}
