import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Log } from '../../lib/log.ts';
import type { NodeIdentitySource } from '../../lib/node-identity.ts';

/** The service's listener. */
export interface ServiceServer {
  /** @returns the port, also when 0 asked for any. */
  listen(): Promise<number>;
  close(): Promise<void>;
}

/** HTTPS on which every client shows its node certificate; follows the certificates when they change. */
export function createServiceServer(parts: {
  handler: RequestListener;
  identity: NodeIdentitySource;
  host: string;
  port: number;
  log: Log;
}): ServiceServer {
  const { handler, identity, log } = parts;
  // Longer than clients keep idle connections, so that they and not the server close them.
  const server = createServer(
    { requestCert: true, rejectUnauthorized: true, keepAliveTimeout: 60_000 },
    handler,
  );
  server.on('tlsClientError', (error, socket) => {
    log.warn('refused a connection', { from: socket.remoteAddress, error: error.message });
  });
  let unsubscribe = () => {};
  return {
    async listen() {
      const { cert, key, ca } = (await identity.current()).tls;
      server.setSecureContext({ cert, key, ca, minVersion: 'TLSv1.2' });
      unsubscribe = identity.onChange(({ tls }) => {
        server.setSecureContext({ cert: tls.cert, key: tls.key, ca: tls.ca, minVersion: 'TLSv1.2' });
        log.info('certificates renewed');
      });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(parts.port, parts.host, () => {
          server.off('error', reject);
          resolve();
        });
      });
      const { port } = server.address() as AddressInfo;
      log.info('listening', { port });
      return port;
    },
    async close() {
      unsubscribe();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
