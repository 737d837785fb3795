import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import type { Clock } from '../lib/clock.ts';

/** A listening unix socket whose connections wait, unread, until somebody takes them. */
export interface EarlySocket {
  readonly path: string;
  /** From now on connections go to `take`, those that came before first. */
  handOver(take: (connection: Socket) => void): void;
  /** Accepts no more. */
  close(): Promise<void>;
}

/**
 * Listens at once, before anything else of the program has been loaded. The engine gives a plugin about 9.5 s from its
 * start until the socket accepts, then leaves it disabled; on a busy host loading the program can take most of that.
 * @throws the system's error when the path cannot be listened on.
 */
export async function openEarlySocket(path: string): Promise<EarlySocket> {
  // Left behind by a process that was killed; the engine runs one process per plugin, so nobody else listens.
  rmSync(path, { force: true });
  const waiting: Socket[] = [];
  const to: { take: (connection: Socket) => void } = { take: (connection) => void waiting.push(connection) };
  const server = createServer({ pauseOnConnect: true }, (connection) => to.take(connection));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    path,
    handOver(take) {
      to.take = take;
      for (const connection of waiting.splice(0)) take(connection);
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** ms that the engine takes to look for the socket, at most: it looks every 3 s for some 9.5 s. */
const foundMs = 15_000;
/** ms from then until the engine has noted that the plugin is enabled. */
const notedMs = 1_000;

/**
 * For a process that the engine is to start again: resolves when it may end. Ended before the engine has found the socket, the
 * engine would take the start for failed; as it starts the plugin again by itself, both starts would then kill each
 * other's processes, for minutes. Once found it accepts nothing: a call that cannot connect is tried again, while one whose
 * connection is lost is repeated without its content.
 */
export async function beFoundOnce(path: string, clock: Clock): Promise<void> {
  const socket = await openEarlySocket(path);
  const over = new AbortController();
  socket.handOver((connection) => {
    connection.destroy();
    over.abort();
  });
  await clock.sleep(foundMs, over.signal).catch(() => undefined);
  void socket.close();
  await clock.sleep(notedMs);
}
