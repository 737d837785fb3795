import { Agent, request } from 'node:https';
import { VolumeError } from '../lib/errors.ts';
import { managerServerName, type NodeIdentitySource } from '../lib/node-identity.ts';

/** One request to one manager. */
export interface JsonRequest {
  readonly host: string;
  readonly port: number;
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly signal: AbortSignal;
}

/** Status and parsed body of an answer, whatever the status. */
export interface JsonAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** JSON over mutual TLS with the node's certificate. The other side must prove to be a manager. */
export interface HttpsJson {
  /** @throws VolumeError `unavailable` when no answer came. */
  send(asked: JsonRequest): Promise<JsonAnswer>;
  close(): void;
}

/** Keeps connections open between requests; takes up new certificates with the next connection. */
export function createHttpsJson({ identity }: { identity: NodeIdentitySource }): HttpsJson {
  const state: { agent: Agent | undefined } = { agent: undefined };
  const forget = () => {
    state.agent?.destroy();
    state.agent = undefined;
  };
  const unsubscribe = identity.onChange(forget);

  const agent = async (): Promise<Agent> => {
    const { cert, key, ca } = (await identity.current()).tls;
    // There are no addresses in Swarm's certificates: what counts is the name that only managers have.
    state.agent ??= new Agent({
      cert,
      key,
      ca,
      servername: managerServerName,
      keepAlive: true,
      timeout: 120_000,
    });
    return state.agent;
  };

  const exchange = (asked: JsonRequest, through: Agent) =>
    new Promise<JsonAnswer>((resolve, reject) => {
      const text = asked.body === undefined ? undefined : JSON.stringify(asked.body);
      const sent = request(
        {
          agent: through,
          host: asked.host,
          port: asked.port,
          method: asked.method,
          path: asked.path,
          signal: asked.signal,
          headers:
            text === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
        },
        (response) => {
          const pieces: Buffer[] = [];
          response.on('data', (piece: Buffer) => pieces.push(piece));
          response.on('error', reject);
          response.on('end', () => {
            try {
              const body: unknown = JSON.parse(Buffer.concat(pieces).toString('utf8'));
              resolve({ status: response.statusCode ?? 0, body });
            } catch {
              reject(new Error(`answered ${response.statusCode} without JSON`));
            }
          });
        },
      );
      sent.on('error', reject);
      sent.end(text);
    });

  return {
    async send(asked) {
      try {
        return await exchange(asked, await agent());
      } catch (thrown) {
        if (thrown instanceof VolumeError) throw thrown;
        const reason = asked.signal.aborted ? asked.signal.reason : thrown;
        const why = reason instanceof Error ? reason.message : String(reason);
        throw new VolumeError('unavailable', `${asked.host}:${asked.port}: ${why}`, { cause: thrown });
      }
    },
    close() {
      unsubscribe();
      forget();
    },
  };
}
