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

/** So soon a manager that was of no use is asked again while another one is silent, in ms: its service may be starting. */
const againMs = 300;

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
 * Asks the managers in turn, the one that answered last first, those that did not answer last time last. One that stays silent
 * is not given up but the next is asked as well and the first answer counts: every operation of the service may be done twice.
 * While one is silent, those that were of no use are asked again; when none is, the call has failed.
 */
export function createServiceCaller(parts: ServiceClientParts): ServiceCaller {
  const { https, endpoints, clock } = parts;
  const preferred: { host: string | undefined } = { host: undefined };
  const doubted = new Set<string>();

  const rank = ({ host }: ServiceEndpoint) => (doubted.has(host) ? 2 : host === preferred.host ? 0 : 1);
  const ordered = async () => [...(await endpoints())].sort((a, b) => rank(a) - rank(b));

  return async ({ schema, patienceMs, deadlineMs, doneBefore, ...asked }) => {
    const deadline = clock.monotonic() + deadlineMs;
    const finished = new AbortController();
    const silent = new Map<string, string>();
    const refused = new Map<string, string>();
    let started = 0;
    const running = new Map<ServiceEndpoint, Promise<JsonAnswer | undefined>>();
    const failed: { readonly endpoint: ServiceEndpoint; readonly againAt: number }[] = [];
    const start = (endpoint: ServiceEndpoint) => {
      const { host } = endpoint;
      started += 1;
      const fail = (reasons: Map<string, string>, why: string) => {
        reasons.set(host, why);
        doubted.add(host);
        failed.push({ endpoint, againAt: clock.monotonic() + againMs });
        return undefined;
      };
      const attempt: Promise<JsonAnswer | undefined> = https
        .send({ ...endpoint, ...asked, signal: finished.signal })
        .then((answer) => {
          // A manager without its store is no use now; another one may have contact.
          const error = errorBodySchema.safeParse(answer.body);
          if (answer.status !== 200 && error.success && error.data.code === 'unavailable') {
            return fail(refused, error.data.message);
          }
          preferred.host = host;
          doubted.delete(host);
          return answer;
        })
        .catch((thrown) =>
          // One that was not waited for any more has said nothing about itself.
          finished.signal.aborted
            ? undefined
            : fail(silent, thrown instanceof Error ? thrown.message : String(thrown)),
        )
        .finally(() => running.delete(endpoint));
      running.set(endpoint, attempt);
    };
    const pause = (ms: number) => clock.sleep(ms, finished.signal).then(() => undefined);
    try {
      const waiting = await ordered();
      for (;;) {
        const next = waiting.shift();
        // Who has not answered until another one had to be asked is not asked first the next time.
        if (next) for (const { host } of running.keys()) doubted.add(host);
        if (next) start(next);
        if (running.size === 0) break;
        const now = clock.monotonic();
        if (now >= deadline) break;
        const until = waiting.length > 0 ? now + patienceMs : (failed[0]?.againAt ?? deadline);
        const answer = await Promise.race([
          ...running.values(),
          pause(Math.max(0, Math.min(until, deadline) - now)),
        ]);
        if (answer) {
          const error = errorBodySchema.safeParse(answer.body);
          const doneAlready = error.success && error.data.code === doneBefore && started > 1;
          return decode(doneAlready ? { status: 200, body: {} } : answer, schema);
        }
        const [first] = failed;
        if (waiting.length > 0 || running.size === 0 || !first || clock.monotonic() < first.againAt) continue;
        failed.shift();
        waiting.push(first.endpoint);
      }
    } finally {
      finished.abort(new Error('no answer in time'));
    }
    parts.onUnreachable?.();
    const others = [...new Set(silent.values())].join('; ');
    // What a service that was reached says tells more than who could not be reached.
    if (refused.size > 0) {
      const rest = others === '' ? '' : ` (other vDVS services cannot be reached: ${others})`;
      throw new VolumeError('unavailable', `${[...new Set(refused.values())].join('; ')}${rest}`);
    }
    const why = others === '' ? `none answered within ${deadlineMs / 1_000} s` : others;
    throw new VolumeError('unavailable', `no vDVS service can be reached: ${why}`);
  };
}
