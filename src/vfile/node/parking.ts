import { createServer, type Server, type Socket } from 'node:net';
import { VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';

/** Where transports are parked: this host itself, on the volume's own port, which no server of ours binds here. */
export const parkingAddress = '127.0.0.1';

/** More connections than a volume can have transports; bounds what a local process could hold open. */
const maxConnections = 64;

/**
 * Silent listeners, one per volume in use on this node. A transport whose server is gone is pointed here: it finds
 * somebody who accepts, so it neither backs off nor keeps its lock while it connects, and can be pointed at the next
 * server at once.
 */
export interface Parking {
  /** Opens the listener of a port; nothing when it is open. @throws VolumeError `unavailable` when it cannot be. */
  open(port: number): Promise<void>;
  /** Whether an address written now would find somebody who accepts. */
  isOpen(port: number): boolean;
  /** Closes the listener and what is connected to it. */
  close(port: number): Promise<void>;
  closeAll(): Promise<void>;
}

interface Listener {
  readonly server: Server;
  readonly sockets: Set<Socket>;
}

/** Parking on real sockets. */
export function createParking({ log, host = parkingAddress }: { log: Log; host?: string }): Parking {
  const open = new Map<number, Listener>();
  const opening = new Map<number, Promise<void>>();

  const listen = async (port: number): Promise<void> => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      // Read and forget: a request that stays in the socket's buffer would in the end stall the sender while it holds
      // the transport's lock. Nothing is lost, because an unanswered request is sent again on the next connection.
      socket.resume();
    });
    server.maxConnections = maxConnections;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        reject(
          new VolumeError('unavailable', `cannot listen on ${host}:${port} to park transports`, { cause }),
        );
      });
      server.listen({ host, port }, resolve);
    });
    server.on('error', (error) => log.warn('parking listener failed', { port, error: error.message }));
    open.set(port, { server, sockets });
  };

  const close = async (port: number): Promise<void> => {
    await opening.get(port)?.catch(() => undefined);
    const listener = open.get(port);
    if (!listener) return;
    open.delete(port);
    const closed = new Promise<void>((resolve) => listener.server.close(() => resolve()));
    for (const socket of listener.sockets) socket.destroy();
    await closed;
  };

  return {
    async open(port) {
      if (open.has(port)) return;
      const running = opening.get(port) ?? listen(port).finally(() => opening.delete(port));
      opening.set(port, running);
      await running;
    },
    isOpen: (port) => open.has(port),
    close,
    async closeAll() {
      await Promise.all([...open.keys()].map(close));
    },
  };
}
