import type { Request, Response } from 'express';
import { VolumeError } from '../../lib/errors.ts';
import type { VolumeId } from '../types.ts';
import { pathPart } from './http-request.ts';

/** The volume or snapshot that the path names. */
export function volumeOf(request: Request): VolumeId {
  return { datastore: pathPart(request, 'datastore'), name: pathPart(request, 'name') };
}

/** Ends when the caller hangs up: nothing is to be granted to somebody who is not there any more. */
export function untilGone(response: Response): AbortSignal {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new VolumeError('unavailable', 'the caller hung up')));
  return gone.signal;
}
