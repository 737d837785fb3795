import { connect } from 'node:net';
import { VolumeError } from './errors.ts';

const nfsProgram = 100003;
const nfsVersion = 4;
const lastFragment = 0x80000000;
/** A NULL reply is 24 bytes; anything far longer is not one. */
const longestReply = 512;

/** The bytes of an ONC RPC call of procedure 0 without credentials, framed for TCP (RFC 5531). */
export function encodeNullCall(xid: number): Buffer {
  const words = [xid, 0, 2, nfsProgram, nfsVersion, 0, 0, 0, 0, 0];
  const call = Buffer.alloc(4 + words.length * 4);
  call.writeUInt32BE((lastFragment | (words.length * 4)) >>> 0, 0);
  words.forEach((word, index) => {
    call.writeUInt32BE(word >>> 0, 4 + index * 4);
  });
  return call;
}

/**
 * Looks at what has arrived so far: `undefined` while the reply is incomplete, '' when the call was accepted and
 * executed, else what is wrong.
 */
export function decodeNullReply(bytes: Buffer, xid: number): string | undefined {
  if (bytes.length < 4) return undefined;
  const length = bytes.readUInt32BE(0) & ~lastFragment;
  if (length > longestReply) return `a reply of ${length} bytes is no answer to NULL`;
  if (bytes.length < 4 + length) return undefined;
  if (length < 24) return 'the reply is too short';
  const word = (index: number) => bytes.readUInt32BE(4 + index * 4);
  if (word(0) !== xid >>> 0 || word(1) !== 1) return 'the reply is not to this call';
  if (word(2) !== 0) return 'the call was denied';
  // xid, type, reply status, verifier's flavour and length, then its bytes, then the accept status.
  const at = 4 + 20 + Math.ceil(word(4) / 4) * 4;
  if (bytes.length < at + 4) return 'the reply is too short';
  const status = bytes.readUInt32BE(at);
  return status === 0 ? '' : `the server answered with accept status ${status}`;
}

/** Calls NFSv4's NULL procedure; a seam for tests. */
export type NfsNull = (address: string, port: number, timeoutMs: number) => Promise<void>;

/**
 * Proves that an NFS server answers: connects, calls NULL, reads the reply, closes. Servers answer NULL to anyone, so it
 * needs neither a privileged port nor a place in the list of clients.
 * @throws VolumeError `timeout` when there is no answer in time, `unavailable` when the connection is refused or the
 *   answer is not NFS.
 */
export const nfsNull: NfsNull = (address, port, timeoutMs) =>
  new Promise((resolve, reject) => {
    const xid = Math.floor(Math.random() * 0xffffffff);
    const socket = connect({ host: address, port });
    let received = Buffer.alloc(0);
    const finish = (error?: VolumeError) => {
      clearTimeout(timer);
      // Reset rather than linger: one probe a second must not leave a line of sockets in TIME_WAIT.
      socket.resetAndDestroy();
      if (error) reject(error);
      else resolve();
    };
    const fail = (code: 'timeout' | 'unavailable', why: string) =>
      finish(new VolumeError(code, `NFS NULL call to ${address} port ${port}: ${why}`));
    const timer = setTimeout(() => fail('timeout', `no answer within ${timeoutMs} ms`), timeoutMs);
    socket.setNoDelay(true);
    socket.on('error', (error) => fail('unavailable', error.message));
    socket.on('close', () => fail('unavailable', 'the server closed the connection'));
    socket.on('connect', () => socket.write(encodeNullCall(xid)));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      const outcome = decodeNullReply(received, xid);
      if (outcome === '') finish();
      else if (outcome !== undefined) fail('unavailable', outcome);
    });
  });
