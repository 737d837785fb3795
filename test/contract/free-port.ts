import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Ports of each worker of the test runner, below those that the kernel gives to whoever asks for any (32768 and above): between
 * the moment when a port is found free and the one when a program binds it, nobody else takes it.
 */
const [first, perWorker, workers] = [10_000, 1_000, 20];
const worker = Number(process.env.VITEST_POOL_ID ?? 0) % workers;
let next = 0;

async function isFree(port: number, host: string): Promise<boolean> {
  const server = createServer().listen(port, host);
  const free = await Promise.race([
    once(server, 'listening').then(() => true),
    once(server, 'error').then(() => false),
  ]);
  if (free) {
    server.close();
    await once(server, 'close');
  }
  return free;
}

/** A TCP port of loopback that nobody uses, another one at each call. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < perWorker; tries++) {
    const port = first + worker * perWorker + (next++ % perWorker);
    if (await isFree(port, host)) return port;
  }
  throw new Error(`none of worker ${worker}'s ports is free on ${host}`);
}
