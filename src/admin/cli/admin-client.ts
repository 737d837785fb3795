import { request } from 'node:https';
import { z } from 'zod';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import { hostPort } from '../../lib/host-port.ts';
import { managerServerName, type TlsFiles } from '../../lib/node-identity.ts';
import { apiError, leaderAnswer, nodesAnswer, resizeAnswer, volumeAnswer, volumesAnswer } from './answers.ts';

/** What the CLI asks of a manager. */
export interface AdminClient {
  volumes(): Promise<z.infer<typeof volumesAnswer>>;
  volume(name: string): Promise<z.infer<typeof volumeAnswer>>;
  nodes(): Promise<z.infer<typeof nodesAnswer>>;
  leader(): Promise<z.infer<typeof leaderAnswer>>;
  /** Makes a volume larger. @returns whether its file system still has to follow, by itself. */
  resize(name: string, size: string): Promise<z.infer<typeof resizeAnswer>>;
}

/** How a manager is reached. */
export interface AdminClientOptions {
  readonly address: string;
  readonly port: number;
  readonly tls: TlsFiles;
  readonly timeoutMs: number;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** ms: writing the space of a thick disk takes its time. */
const resizeMs = 600_000;

/** `GET`, or `POST` of a body. */
function call(
  { address, port, tls, timeoutMs }: AdminClientOptions,
  path: string,
  body: unknown,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: address,
        port,
        path,
        method: body === undefined ? 'GET' : 'POST',
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
        // The address is only where to connect; that a manager answers is proved by the name in its certificate.
        servername: managerServerName,
        cert: tls.cert,
        key: tls.key,
        ca: tls.ca,
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString() }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function ask<T>(
  options: AdminClientOptions,
  path: string,
  schema: z.ZodType<T>,
  body?: unknown,
): Promise<T> {
  const where = `the manager at ${hostPort(options.address, options.port)}`;
  const answer = await call(options, path, body).catch((thrown: unknown) => {
    throw new VolumeError('unavailable', `${where} does not answer: ${toVolumeError(thrown).message}`, {
      cause: thrown,
    });
  });
  let json: unknown;
  try {
    json = JSON.parse(answer.body);
  } catch (thrown) {
    throw new VolumeError('internal', `${where} answered no JSON (status ${answer.status})`, {
      cause: thrown,
    });
  }
  const refused = apiError.safeParse(json);
  if (refused.success) throw new VolumeError(refused.data.error.code, refused.data.error.message);
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    throw new VolumeError('internal', `${where}: unexpected answer: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}

/** A client of one manager's admin API, over mutual TLS. */
export function createAdminClient(options: AdminClientOptions): AdminClient {
  return {
    volumes: () => ask(options, '/v1/volumes', volumesAnswer),
    volume: (name) => ask(options, `/v1/volumes/${encodeURIComponent(name)}`, volumeAnswer),
    nodes: () => ask(options, '/v1/nodes', nodesAnswer),
    leader: () => ask(options, '/v1/leader', leaderAnswer),
    resize: (name, size) => {
      const patient = { ...options, timeoutMs: resizeMs };
      return ask(patient, `/v1/volumes/${encodeURIComponent(name)}/resize`, resizeAnswer, { size });
    },
  };
}
