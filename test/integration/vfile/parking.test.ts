import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import { createParking, type Parking } from '../../../src/vfile/node/parking.ts';
import { freePort } from '../../contract/free-port.ts';

describe('the parking place', () => {
  let parking: Parking;
  let port: number;
  const sockets: Socket[] = [];

  beforeEach(async () => {
    parking = createParking({ log: silentLog });
    port = await freePort();
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await parking.closeAll();
  });

  const dial = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  };

  it('accepts, answers nothing, and takes more than a socket buffer holds, so that no sender stalls', async () => {
    await parking.open(port);
    const socket = await dial();
    const answers: unknown[] = [];
    socket.on('data', (data) => answers.push(data));
    const megabytes = 32;
    const block = Buffer.alloc(1024 * 1024, 1);
    for (let sent = 0; sent < megabytes; sent += 1) {
      await new Promise<void>((resolve, reject) =>
        socket.write(block, (error) => (error ? reject(error) : resolve())),
      );
    }
    expect(socket.writableLength).toBe(0);
    expect(answers).toEqual([]);
    expect(socket.destroyed).toBe(false);
  });

  it('opens once however often it is asked, and goes on with the connections it has', async () => {
    await Promise.all([parking.open(port), parking.open(port)]);
    const socket = await dial();
    await parking.open(port);
    expect(parking.isOpen(port)).toBe(true);
    expect(socket.destroyed).toBe(false);
  });

  it('closes with what is connected, and can be opened again at once', async () => {
    await parking.open(port);
    const socket = await dial();
    socket.on('error', () => undefined);
    const closed = once(socket, 'close');
    await parking.close(port);
    await closed;
    expect(parking.isOpen(port)).toBe(false);
    await parking.open(port);
    await dial();
  });

  it('says so when the port is taken', async () => {
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    await expect(parking.open(port)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
    expect(parking.isOpen(port)).toBe(false);
    other.close();
    await once(other, 'close');
    await parking.open(port);
  });
});
