import { get } from 'node:http';
import type { z } from 'zod';
import { VolumeError } from '../../../src/lib/errors.ts';

/**
 * One question to an engine's API, over its socket.
 * @throws VolumeError `unavailable` when it does not answer, `timeout` after the deadline.
 */
export async function engineGet(socketPath: string, path: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath, path, headers: { Host: 'docker' }, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', (cause) =>
        reject(new VolumeError('unavailable', `engine: ${cause.message}`, { cause })),
      );
      response.on('end', () => {
        clearTimeout(timer);
        const body = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(body);
        else reject(new VolumeError('unavailable', `engine: HTTP ${response.statusCode}: ${body.trim()}`));
      });
    });
    const timer = setTimeout(() => {
      reject(new VolumeError('timeout', `the engine did not answer within ${timeoutMs} ms`));
      request.destroy();
    }, timeoutMs);
    request.on('error', (cause) => {
      clearTimeout(timer);
      reject(new VolumeError('unavailable', `the engine does not answer: ${cause.message}`, { cause }));
    });
  });
}

/** As engineGet, the answer checked against a schema. */
export async function engineJson<T>(
  socket: string,
  path: string,
  schema: z.ZodType<T>,
  timeoutMs = 10_000,
): Promise<T> {
  return schema.parse(JSON.parse(await engineGet(socket, path, timeoutMs)));
}
