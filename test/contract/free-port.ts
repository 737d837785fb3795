import { createServer } from 'node:net';

/**
 * Ports of each worker of the test runner, below those that the kernel gives to whoever asks for any (32768 and above): between
 * the moment when a port is found free and the one when a program binds it, nobody else takes it.
 */
const [first, perWorker, workers] = [10_000, 1_000, 20];
const worker = Number(process.env.VITEST_POOL_ID ?? 0) % workers;
let next = 0;

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

/** A TCP port of loopback that nobody uses, another one at each call. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < perWorker; tries++) {
    const port = first + worker * perWorker + (next++ % perWorker);
    if (await isFree(port, host)) return port;
  }
  throw new Error(`none of worker ${worker}'s ports is free on ${host}`);
}
