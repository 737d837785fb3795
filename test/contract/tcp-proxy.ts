import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** Stands between a client and a server and can swallow what passes. */
export interface TcpProxy {
  /** `host:port` */
  readonly address: string;
  /** From now on nothing reaches the server. */
  holdQuestions(): void;
  /** From now on nothing reaches the clients. */
  holdAnswers(): void;
  stop(): Promise<void>;
}

/** Starts a proxy to `target` (`host:port`) on a free port of loopback. */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const hold = { questions: false, answers: false };
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  };
  const [host = '', port = ''] = target.split(':');
  const server = createServer((client) => {
    const upstream = keep(connect(Number(port), host));
    keep(client).on('data', (data) => void (hold.questions || upstream.write(data)));
    upstream.on('data', (data) => void (hold.answers || client.write(data)));
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const own = server.address();
  if (own === null || typeof own === 'string') throw new Error('no port');
  return {
    address: `127.0.0.1:${own.port}`,
    holdQuestions: () => {
      hold.questions = true;
    },
    holdAnswers: () => {
      hold.answers = true;
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
