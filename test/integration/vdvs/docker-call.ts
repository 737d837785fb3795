import { request } from 'node:http';

/** One call of the volume protocol, as the engine makes it. @throws Error when the connection is closed. */
export function dockerCall(
  socketPath: string,
  method: string,
  body: unknown,
): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path: `/${method}`, method: 'POST' }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => resolve(JSON.parse(text) as Record<string, unknown>));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}

/** Calls and fails on `Err`. */
export async function dockerCallOk(
  socketPath: string,
  method: string,
  body: unknown,
): Promise<Record<string, unknown>> {
  const answer = await dockerCall(socketPath, method, body);
  if (answer.Err) throw new Error(String(answer.Err));
  return answer;
}
