import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import type { EarlySocket } from './early-socket.ts';

const connectionMessage = 'connection';

/** Gives a connection of the plugin's socket to the child that answers; one that it cannot take is closed. */
export function passConnection(child: ChildProcess, connection: Socket): void {
  if (!child.connected) {
    connection.destroy();
    return;
  }
  child.send(connectionMessage, connection, (error) => {
    if (error) connection.destroy();
  });
}

/** Whether a message of the parent is a connection and not one of the program's own messages. */
export function isConnectionMessage(message: unknown): boolean {
  return message === connectionMessage;
}

/** The child's end: a socket that its parent listens on. */
export function socketOfParent(path: string): EarlySocket {
  const waiting: Socket[] = [];
  const to: { take: (connection: Socket) => void } = { take: (connection) => void waiting.push(connection) };
  const onMessage = (message: unknown, handle: unknown): void => {
    if (isConnectionMessage(message) && handle instanceof Socket) to.take(handle);
  };
  process.on('message', onMessage);
  return {
    path,
    handOver(take) {
      to.take = take;
      for (const connection of waiting.splice(0)) take(connection);
    },
    close: async () => {
      process.off('message', onMessage);
    },
  };
}
