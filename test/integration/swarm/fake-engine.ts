import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

/** A request as it came over the wire. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** What the engine answers: a status and a text. */
export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** By `METHOD path`; a function is asked anew for each request. */
export type Answers = Map<string, Answer | (() => Answer)>;

/** An engine's API on a unix socket that records requests and answers from a table of `METHOD path`. */
export async function startFakeEngine(
  socketPath: string,
  answers: Answers,
): Promise<{ seen: SeenRequest[]; stop(): Promise<void> }> {
  const seen: SeenRequest[] = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://engine');
    const length = Number(request.headers['content-length'] ?? 0);
    const body: unknown = length > 0 ? await json(request) : undefined;
    const method = request.method ?? '';
    seen.push({ method, path: url.pathname, query: Object.fromEntries(url.searchParams), body });
    const found = answers.get(`${method} ${url.pathname}`);
    const missing = { status: 404, text: '{"message":"no such"}' };
    const answer = typeof found === 'function' ? found() : (found ?? missing);
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.text);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    seen,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
