import { request } from 'node:https';
import { z } from 'zod';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import { hostPort } from '../../lib/host-port.ts';
import { managerServerName, type TlsFiles } from '../../lib/node-identity.ts';
import {
  apiError,
  etcdAnswer,
  leaderAnswer,
  moveAnswer,
  nodesAnswer,
  resizeAnswer,
  volumeAnswer,
  volumesAnswer,
  withdrawAnswer,
} from './answers.ts';

/** What the CLI asks of a manager. */
export interface AdminClient {
  volumes(): Promise<z.infer<typeof volumesAnswer>>;
  volume(name: string): Promise<z.infer<typeof volumeAnswer>>;
  nodes(): Promise<z.infer<typeof nodesAnswer>>;
  leader(): Promise<z.infer<typeof leaderAnswer>>;
  etcd(): Promise<z.infer<typeof etcdAnswer>>;
  /** Makes a volume larger. @returns whether its file system still has to follow, by itself. */
  resize(name: string, size: string): Promise<z.infer<typeof resizeAnswer>>;
  /** Asks that a volume be served from another node. @throws VolumeError `not_found`, `conflict`, `denied`. */
  move(volume: string, to: string | undefined): Promise<z.infer<typeof moveAnswer>>;
  /** Takes that back. */
  withdrawMove(volume: string): Promise<void>;
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

/** One request; with `json` as its body, if any. */
interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly json?: unknown;
}

function send({ address, port, tls, timeoutMs }: AdminClientOptions, call: Call): Promise<Answer> {
  const { method, path, json } = call;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        method,
        ...(json === undefined ? {} : { headers: { 'Content-Type': 'application/json' } }),
        host: address,
        port,
        path,
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
    sent.end(json === undefined ? undefined : JSON.stringify(json));
  });
}

async function ask<T>(options: AdminClientOptions, call: Call, schema: z.ZodType<T>): Promise<T> {
  const where = `the manager at ${hostPort(options.address, options.port)}`;
  const answer = await send(options, call).catch((thrown: unknown) => {
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
  const look = <T>(path: string, schema: z.ZodType<T>): Promise<T> =>
    ask(options, { method: 'GET', path }, schema);
  const pathOf = (name: string): string => `/v1/volumes/${encodeURIComponent(name)}`;
  return {
    volumes: () => look('/v1/volumes', volumesAnswer),
    volume: (name) => look(pathOf(name), volumeAnswer),
    nodes: () => look('/v1/nodes', nodesAnswer),
    leader: () => look('/v1/leader', leaderAnswer),
    etcd: () => look('/v1/etcd', etcdAnswer),
    resize: (name, size) => {
      const patient = { ...options, timeoutMs: resizeMs };
      const call: Call = { method: 'POST', path: `${pathOf(name)}/resize`, json: { size } };
      return ask(patient, call, resizeAnswer);
    },
    move: (name, to) =>
      ask(options, { method: 'POST', path: `${pathOf(name)}/move`, json: { to } }, moveAnswer),
    withdrawMove: async (name) => {
      await ask(options, { method: 'DELETE', path: `${pathOf(name)}/move` }, withdrawAnswer);
    },
  };
}
