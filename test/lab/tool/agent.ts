import { connect, type Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { VolumeError } from '../../../src/lib/errors.ts';

/** What a command on a host left behind. */
export interface ShellResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a command is run on a host. */
export interface ShellOptions {
  /** After this the command is killed. */
  readonly timeoutMs: number;
  readonly input?: string | Readable;
  /** Where output goes as it comes; without them it is collected. */
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  readonly signal?: AbortSignal;
}

/**
 * Runs one shell command through a host's agent (`host/agent.py`, which describes the protocol).
 * @throws VolumeError `unavailable` when the host does not answer or goes away meanwhile, `timeout` after the deadline.
 */
export async function runOnHost(
  host: string,
  socketPath: string,
  command: string,
  options: ShellOptions,
): Promise<ShellResult> {
  const socket = connect({ path: socketPath });
  const collected = { stdout: '', stderr: '' };
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const take = (to: 'stdout' | 'stderr', data: Buffer) => {
    const stream = options[to];
    if (stream) stream.write(data);
    else collected[to] += decoders[to].decode(data, { stream: true });
  };
  try {
    const exitCode = await new Promise<number>((resolve, reject) => {
      const fail = (code: 'unavailable' | 'timeout', why: string) =>
        reject(new VolumeError(code, `${host}: ${why}: ${command.split('\n')[0]?.slice(0, 120)}`));
      const timer = setTimeout(
        () => fail('timeout', `not finished after ${options.timeoutMs / 1000} s`),
        options.timeoutMs,
      );
      const finish = (code: number) => {
        clearTimeout(timer);
        resolve(code);
      };
      options.signal?.addEventListener('abort', () => fail('unavailable', 'cancelled'), { once: true });
      socket.once('error', (error) => fail('unavailable', error.message));
      socket.once('close', () => {
        clearTimeout(timer);
        fail('unavailable', 'the host went away before the command had ended');
      });
      onFrames(socket, (kind, payload) => {
        if (kind === 'o') take('stdout', payload);
        else if (kind === 'r') take('stderr', payload);
        else if (kind === 'x') finish(Number(payload.toString()));
      });
      socket.write(frame('c', JSON.stringify({ cmd: command })));
      sendInput(socket, options.input);
    });
    return { exitCode, ...collected };
  } finally {
    if (typeof options.input === 'object') options.input.removeAllListeners('data').pause();
    socket.destroy();
  }
}

function sendInput(socket: Socket, input: string | Readable | undefined): void {
  if (typeof input === 'object') {
    input.on('data', (data: Buffer) => {
      if (!socket.write(frame('i', data))) {
        input.pause();
        socket.once('drain', () => input.resume());
      }
    });
    input.once('end', () => socket.write(frame('e')));
    return;
  }
  if (input) socket.write(frame('i', input));
  socket.write(frame('e'));
}

function frame(kind: string, payload: string | Buffer = ''): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(5);
  head.write(kind, 0, 'latin1');
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function onFrames(socket: Socket, take: (kind: string, payload: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (data: Buffer) => {
    rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
    while (rest.length >= 5) {
      const end = 5 + rest.readUInt32BE(1);
      if (rest.length < end) return;
      take(rest.toString('latin1', 0, 1), rest.subarray(5, end));
      rest = rest.subarray(end);
    }
  });
}
