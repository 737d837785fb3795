import { z } from 'zod';
import { type ErrorCode, VolumeError } from '../lib/errors.ts';
import { fromDocker } from './docker-errors.ts';

/** Every call to the engine ends within this time. */
const callMs = 10_000;

/** One request to the engine. */
export interface Call {
  /** For humans: what is asked. */
  readonly what: string;
  readonly timeoutMs?: number;
  /** What status 409 means here. */
  readonly onConflict?: ErrorCode;
}

/** Asks the engine with a deadline, validates the answer, translates errors. */
export async function ask<T>(
  call: Call,
  schema: z.ZodType<T>,
  send: (signal: AbortSignal) => Promise<unknown>,
): Promise<T> {
  const timeoutMs = call.timeoutMs ?? callMs;
  const signal = AbortSignal.timeout(timeoutMs);
  let answer: unknown;
  try {
    answer = await send(signal);
  } catch (thrown) {
    if (signal.aborted) {
      throw new VolumeError(
        'timeout',
        `${call.what}: the Docker engine did not answer within ${timeoutMs} ms`,
        {
          cause: thrown,
        },
      );
    }
    throw fromDocker(thrown, call.what, call.onConflict);
  }
  const parsed = schema.safeParse(answer);
  if (!parsed.success) {
    throw new VolumeError('internal', `${call.what}: unexpected answer: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}
