import type { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import { type ErrorCode, isErrorCode, VolumeError } from '../lib/errors.ts';
import { apiPrefix, errorBodySchema } from './api.ts';
import type { HttpsJson, JsonAnswer, JsonRequest } from './https-json.ts';
import type { VolumeId } from './types.ts';

/** Address of one vDVS service. */
export interface ServiceEndpoint {
  readonly host: string;
  readonly port: number;
}

/** What the client needs. */
export interface ServiceClientParts {
  readonly https: HttpsJson;
  /** The managers, as known now. @throws VolumeError `unavailable` when none is known. */
  readonly endpoints: () => Promise<readonly ServiceEndpoint[]>;
  /** Told when none of them was of use. */
  readonly onUnreachable?: () => void;
  /** This host's name, for people. */
  readonly host: string;
  readonly clock: Clock;
}

/** One call, and how long it may take. */
export interface Call<T> {
  readonly method: JsonRequest['method'];
  readonly path: string;
  readonly body?: unknown;
  readonly schema: z.ZodType<T>;
  /** ms of silence after which the next manager is asked as well. */
  readonly patienceMs: number;
  /** ms after which no answer is waited for any more. */
  readonly deadlineMs: number;
  /** What a second manager says when the first one did it after all. */
  readonly doneBefore?: ErrorCode;
}

/** ms. Answers of services that ask a busy etcd take up to its own deadline; silence may also mean a dead manager. */
export const callTimes = { patienceMs: 1_500, deadlineMs: 12_000 } as const;

/** Path of a volume, or of something that is done with it. */
export function pathOf(id: VolumeId, action?: string): string {
  const path = `${apiPrefix}/volumes/${encodeURIComponent(id.datastore)}/${encodeURIComponent(id.name)}`;
  return action === undefined ? path : `${path}/${action}`;
}

function decode<T>(answer: JsonAnswer, schema: z.ZodType<T>): T {
  if (answer.status === 200) {
    const parsed = schema.safeParse(answer.body);
    if (parsed.success) return parsed.data;
    throw new VolumeError(
      'internal',
      'the vDVS service answered in a form that this version does not understand',
    );
  }
  const error = errorBodySchema.safeParse(answer.body);
  if (error.success && isErrorCode(error.data.code))
    throw new VolumeError(error.data.code, error.data.message);
  throw new VolumeError('internal', `the vDVS service answered with status ${answer.status}`);
}

/** Calls any vDVS service that answers. @throws VolumeError what it says, or `unavailable` when none can be reached. */
export type ServiceCaller = <T>(call: Call<T>) => Promise<T>;

/**
 * Asks the managers in turn, the one that answered last first. One that stays silent is not given up but the next is
 * asked as well and the first answer counts: every operation of the service may be done twice.
 */
export function createServiceCaller(parts: ServiceClientParts): ServiceCaller {
  const { https, endpoints, clock } = parts;
  const preferred: { host: string | undefined } = { host: undefined };

  const ordered = async () => {
    const all = await endpoints();
    return [...all].sort((a, b) => Number(b.host === preferred.host) - Number(a.host === preferred.host));
  };

  return async ({ schema, patienceMs, deadlineMs, doneBefore, ...asked }) => {
    const deadline = clock.monotonic() + deadlineMs;
    const finished = new AbortController();
    const silent = new Set<string>();
    const refused = new Set<string>();
    let started = 0;
    const running = new Set<Promise<JsonAnswer | undefined>>();
    const start = (endpoint: ServiceEndpoint) => {
      started += 1;
      const attempt: Promise<JsonAnswer | undefined> = https
        .send({ ...endpoint, ...asked, signal: finished.signal })
        .then((answer) => {
          // A manager without its store is no use now; another one may have contact.
          const error = errorBodySchema.safeParse(answer.body);
          if (answer.status !== 200 && error.success && error.data.code === 'unavailable') {
            refused.add(error.data.message);
            return undefined;
          }
          preferred.host = endpoint.host;
          return answer;
        })
        .catch((thrown) => {
          silent.add(thrown instanceof Error ? thrown.message : String(thrown));
          return undefined;
        })
        .finally(() => running.delete(attempt));
      running.add(attempt);
    };
    const pause = (ms: number) => clock.sleep(ms, finished.signal).then(() => undefined);
    try {
      const waiting = await ordered();
      for (;;) {
        const next = waiting.shift();
        if (next) start(next);
        if (running.size === 0) break;
        const left = deadline - clock.monotonic();
        if (left <= 0) break;
        const answer = await Promise.race([
          ...running,
          pause(waiting.length > 0 ? Math.min(patienceMs, left) : left),
        ]);
        if (!answer) continue;
        const error = errorBodySchema.safeParse(answer.body);
        const doneAlready = error.success && error.data.code === doneBefore && started > 1;
        return decode(doneAlready ? { status: 200, body: {} } : answer, schema);
      }
    } finally {
      finished.abort(new Error('no answer in time'));
    }
    parts.onUnreachable?.();
    const others = [...silent].join('; ');
    // What a service that was reached says tells more than who could not be reached.
    if (refused.size > 0) {
      const rest = others === '' ? '' : ` (other vDVS services cannot be reached: ${others})`;
      throw new VolumeError('unavailable', `${[...refused].join('; ')}${rest}`);
    }
    const why = others === '' ? `none answered within ${deadlineMs / 1_000} s` : others;
    throw new VolumeError('unavailable', `no vDVS service can be reached: ${why}`);
  };
}
