import { z } from 'zod';
import { type ErrorCode, VolumeError } from '../lib/errors.ts';

const httpFailure = z.object({
  statusCode: z.number(),
  json: z.object({ message: z.string() }).optional().catch(undefined),
  message: z.string().optional(),
});
const systemFailure = z.object({ code: z.string() });

const byStatus: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  403: 'denied',
  404: 'not_found',
  406: 'unavailable',
  409: 'conflict',
  503: 'unavailable',
};
const unreachable = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EACCES', 'EPIPE', 'EAI_AGAIN']);

/** Texts with which a manager says that the Swarm, not the request, is the trouble; they come as plain status 500. */
const swarmTrouble = [
  'does not have a leader',
  'context deadline exceeded',
  'code = Unavailable',
  'code = DeadlineExceeded',
  'no elected primary cluster manager',
];

/** With which Swarm refuses to change what has changed since it was read; a plain status 500 too. */
const swarmRaces = ['update out of sequence', 'object was updated by another process'];

function codeOf(status: number, text: string): ErrorCode {
  if (swarmRaces.some((race) => text.includes(race))) return 'conflict';
  if (swarmTrouble.some((trouble) => text.includes(trouble))) return 'unavailable';
  return byStatus[status] ?? 'internal';
}

/**
 * What the engine threw as a VolumeError.
 * @param what the request, for humans: `create service x`.
 * @param onConflict the code that status 409 has for this request: a taken name is `exists`, a used volume `busy`.
 */
export function fromDocker(thrown: unknown, what: string, onConflict: ErrorCode = 'conflict'): VolumeError {
  if (thrown instanceof VolumeError) return thrown;
  const http = httpFailure.safeParse(thrown);
  if (http.success) {
    const text = (http.data.json?.message ?? http.data.message ?? 'no message').trim();
    const code = codeOf(http.data.statusCode, text);
    return new VolumeError(
      code === 'conflict' && http.data.statusCode === 409 ? onConflict : code,
      `${what}: ${text}`,
      {
        cause: thrown,
      },
    );
  }
  const system = systemFailure.safeParse(thrown);
  if (system.success && unreachable.has(system.data.code)) {
    const text = thrown instanceof Error ? thrown.message : system.data.code;
    return new VolumeError('unavailable', `${what}: the Docker engine does not answer (${text})`, {
      cause: thrown,
    });
  }
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new VolumeError('internal', `${what}: ${text}`, { cause: thrown });
}
