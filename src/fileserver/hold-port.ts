import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** A port held while its server is away. */
export interface HeldPort {
  /** Frees the port for the server but keeps the connections that were accepted. Resolves when it is free. */
  free(): Promise<void>;
  /** Resets the connections that were accepted, so that their clients connect again: to the server, by now. */
  letGo(): void;
}

/** Holds a port; a seam for tests. */
export type HoldPort = (address: string, port: number) => Promise<HeldPort | undefined>;

/**
 * Listens in place of a server that has just died, accepts and stays silent. A client of the kernel that is refused waits
 * 3 s before it tries again; one that is connected notices the new server at once.
 * @returns `undefined` when the port cannot be had; then clients are refused, which is only slower.
 */
export const holdPort: HoldPort = async (address, port) => {
  const sockets = new Set<Socket>();
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  try {
    server.listen({ host: address, port, exclusive: true });
    await once(server, 'listening');
  } catch {
    server.close();
    return undefined;
  }
  server.on('error', () => undefined);
  return {
    // The listening socket is closed at once; the callback of close() would wait for the connections.
    free: async () => {
      server.close();
      await new Promise((resolve) => setImmediate(resolve));
    },
    letGo: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
  };
};
