import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeNullReply, encodeNullCall, nfsNull } from '../../../src/lib/nfs-null.ts';

/** A framed reply of these words. */
function reply(...words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 + words.length * 4);
  bytes.writeUInt32BE((0x80000000 | (words.length * 4)) >>> 0, 0);
  words.forEach((word, index) => {
    bytes.writeUInt32BE(word >>> 0, 4 + index * 4);
  });
  return bytes;
}

describe('the NULL call', () => {
  it('is procedure 0 of program 100003 version 4 without credentials', () => {
    expect(encodeNullCall(7).toString('hex')).toBe(
      [
        '80000028',
        '00000007',
        '00000000',
        '00000002',
        '000186a3',
        '00000004',
        ...Array(5).fill('00000000'),
      ].join(''),
    );
  });

  it.each([
    ['accepted', reply(7, 1, 0, 0, 0, 0), ''],
    ['accepted, with a verifier', reply(7, 1, 0, 1, 4, 99, 0), ''],
    ['to another call', reply(8, 1, 0, 0, 0, 0), 'the reply is not to this call'],
    ['denied', reply(7, 1, 1, 1, 1, 0), 'the call was denied'],
    ['of a server without NFS 4', reply(7, 1, 0, 0, 0, 2), 'the server answered with accept status 2'],
    ['too short', reply(7, 1, 0), 'the reply is too short'],
    ['cut off within a verifier', reply(7, 1, 0, 1, 400, 0), 'the reply is too short'],
    [
      'of another protocol',
      Buffer.from('SSH-2.0-OpenSSH'),
      'a reply of 1397966893 bytes is no answer to NULL',
    ],
  ])('a reply %s', (_, bytes, outcome) => {
    expect(decodeNullReply(bytes, 7)).toBe(outcome);
  });

  it('waits for the whole reply', () => {
    const whole = reply(7, 1, 0, 0, 0, 0);
    for (let length = 0; length < whole.length; length += 1) {
      expect(decodeNullReply(whole.subarray(0, length), 7)).toBeUndefined();
    }
  });
});

describe('calling NULL', () => {
  const servers: ReturnType<typeof createServer>[] = [];
  async function listen(answer: (socket: Socket) => void): Promise<number> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      answer(socket);
    }).listen(0, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  it('succeeds when the server answers, in pieces too', async () => {
    const port = await listen((socket) => {
      socket.once('data', (call) => {
        const whole = reply(call.readUInt32BE(4), 1, 0, 0, 0, 0);
        socket.write(whole.subarray(0, 10));
        setImmediate(() => socket.write(whole.subarray(10)));
      });
    });
    await expect(nfsNull('127.0.0.1', port, 5_000)).resolves.toBeUndefined();
  });

  it('fails at its deadline when the server is silent, as one that hangs or a parking place is', async () => {
    const port = await listen(() => undefined);
    await expect(nfsNull('127.0.0.1', port, 50)).rejects.toMatchObject({ code: 'timeout' });
  });

  it('fails at once when it is refused or hung up on', async () => {
    const port = await listen((socket) => socket.destroy());
    await expect(nfsNull('127.0.0.1', port, 5_000)).rejects.toMatchObject({ code: 'unavailable' });
    servers.splice(0)[0]?.close();
    await expect(nfsNull('127.0.0.1', port, 5_000)).rejects.toThrow(/ECONNREFUSED/);
  });
});
