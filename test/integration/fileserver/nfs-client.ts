import { connect, type Socket } from 'node:net';

/** Statuses of NFSv4 that the tests look for. */
export const nfs = { ok: 0, noEntry: 2, grace: 10013, badSession: 10052, noGrace: 10033 } as const;

const op = {
  createSession: 43,
  destroy: 44,
  exchangeId: 42,
  getFh: 10,
  lock: 12,
  lookup: 15,
  open: 18,
  putRootFh: 24,
  reclaimComplete: 58,
  sequence: 53,
};

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value >>> 0, index * 4);
  });
  return bytes;
}

function opaque(content: Buffer | string): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([words(bytes.length), bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

/** Just enough of an NFSv4.1 client to have state at a server: a session, and opens. */
export class NfsClient {
  readonly #socket: Socket;
  readonly #owner: string;
  #received = Buffer.alloc(0);
  #waiting: { resolve(reply: Buffer): void; reject(error: Error): void } | undefined;
  #xid = 1;
  #clientId = Buffer.alloc(0);
  #session = Buffer.alloc(0);
  #sequence = 0;

  private constructor(socket: Socket, owner: string) {
    this.#socket = socket;
    this.#owner = owner;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      if (this.#received.length < 4) return;
      const length = this.#received.readUInt32BE(0) & 0x7fffffff;
      if (this.#received.length < 4 + length) return;
      const reply = this.#received.subarray(4, 4 + length);
      this.#received = this.#received.subarray(4 + length);
      this.#waiting?.resolve(reply);
    });
    socket.on('error', (error) => this.#waiting?.reject(error));
    socket.on('close', () => this.#waiting?.reject(new Error('closed')));
  }

  /** Connects from `from` (with a privileged port, unless said otherwise), establishes a session and says RECLAIM_COMPLETE. */
  static async mount(options: {
    address: string;
    port: number;
    from: string;
    owner: string;
    privileged?: boolean;
  }): Promise<NfsClient> {
    const { address, port, from, owner, privileged = true } = options;
    for (let localPort = 700; ; localPort += 1) {
      try {
        const socket = await new Promise<Socket>((resolve, reject) => {
          const made = connect({
            host: address,
            port,
            localAddress: from,
            ...(privileged ? { localPort } : {}),
          });
          made.once('connect', () => resolve(made));
          made.once('error', reject);
        });
        const client = new NfsClient(socket, owner);
        await client.#establish();
        return client;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if ((code !== 'EADDRINUSE' && code !== 'EADDRNOTAVAIL') || localPort > 1000) throw error;
      }
    }
  }

  /** Status of looking the export up. */
  async lookup(name: string): Promise<number> {
    const { status } = await this.#inSession([
      words(op.putRootFh),
      Buffer.concat([words(op.lookup), opaque(name)]),
      words(op.getFh),
    ]);
    return status;
  }

  /** Status of creating and opening a file of the export: `nfs.grace` while grace lasts. */
  async openNew(exported: string, name: string): Promise<number> {
    const { status } = await this.#inSession([
      words(op.putRootFh),
      Buffer.concat([words(op.lookup), opaque(exported)]),
      Buffer.concat([
        words(op.open, 0, 3, 0),
        this.#clientId,
        opaque('owner'),
        // OPEN4_CREATE, UNCHECKED4, no attributes, CLAIM_NULL
        words(1, 0, 0),
        opaque(''),
        words(0),
        opaque(name),
      ]),
    ]);
    return status;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #establish(): Promise<void> {
    const exchanged = await this.#compound([
      Buffer.concat([words(op.exchangeId), Buffer.from('verifier'), opaque(this.#owner), words(0, 0, 0)]),
    ]);
    if (exchanged.status !== nfs.ok) throw new Error(`EXCHANGE_ID: ${exchanged.status}`);
    this.#clientId = Buffer.from(exchanged.body.subarray(8, 16));
    const channel = words(0, 1049620, 1049480, 7584, 8, 16, 0);
    const created = await this.#compound([
      Buffer.concat([
        words(op.createSession),
        this.#clientId,
        exchanged.body.subarray(16, 20),
        words(0),
        channel,
        channel,
        words(0x40000000, 0),
      ]),
    ]);
    if (created.status !== nfs.ok) throw new Error(`CREATE_SESSION: ${created.status}`);
    this.#session = Buffer.from(created.body.subarray(8, 24));
    const { status } = await this.#inSession([words(op.reclaimComplete, 0)]);
    if (status !== nfs.ok) throw new Error(`RECLAIM_COMPLETE: ${status}`);
  }

  #inSession(operations: readonly Buffer[]): Promise<{ status: number; body: Buffer }> {
    this.#sequence += 1;
    return this.#compound([
      Buffer.concat([words(op.sequence), this.#session, words(this.#sequence, 0, 0, 0)]),
      ...operations,
    ]);
  }

  /** The compound's status, and what follows its empty tag and number of results. */
  async #compound(operations: readonly Buffer[]): Promise<{ status: number; body: Buffer }> {
    this.#xid += 1;
    // AUTH_SYS as root
    const credential = opaque(Buffer.concat([words(0), opaque('test'), words(0, 0, 0)]));
    const message = Buffer.concat([
      words(this.#xid, 0, 2, 100003, 4, 1, 1),
      credential,
      words(0, 0),
      opaque(''),
      words(1, operations.length),
      ...operations,
    ]);
    const reply = await new Promise<Buffer>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(Buffer.concat([words(0x80000000 | message.length), message]));
    });
    this.#waiting = undefined;
    return { status: reply.readUInt32BE(24), body: reply.subarray(36) };
  }
}
