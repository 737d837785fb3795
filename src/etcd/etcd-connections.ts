import { GRPCDeadlineExceededError } from 'etcd3';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { NodeIdentitySource, TlsFiles } from '../lib/node-identity.ts';
import { failureOf, NotConnected, translate } from './etcd-errors.ts';
import { createMemberClient, type MemberClient } from './etcd-member-client.ts';

/** How etcd is reached. */
export interface ConnectionOptions {
  /** Whose certificate to show; `undefined` speaks plain text, which only tests do. */
  readonly identity: NodeIdentitySource | undefined;
  /** Addresses of the members (`host:port`), best first: on a manager its own, elsewhere in any order. */
  readonly endpoints: () => Promise<readonly string[]>;
  readonly clock: Clock;
  readonly log: Log;
  /** Deadline of a call over all its attempts, in ms. */
  readonly requestTimeoutMs: number;
  /**
   * Whether to use, after those addresses, also the ones that the cluster's own list of members holds: managers change, and
   * not everybody can ask the Swarm for them.
   */
  readonly learnMembers?: boolean;
  /** Deadline of one attempt at one member, in ms. */
  readonly attemptTimeoutMs?: number;
}

/** How one call may be tried. */
export interface CallTraits {
  /** For error texts: what was asked. */
  readonly what: string;
  /** Whether asking a second time does no harm when the first may have been done. */
  readonly repeatable: boolean;
  readonly timeoutMs?: number;
  readonly attemptMs?: number;
  readonly signal?: AbortSignal;
}

/** What an attempt is given: the absolute gRPC deadline. */
export interface AttemptOptions {
  readonly deadline: number;
}

const endpointRefreshMs = 60_000;
/**
 * The second look at the list of members comes sooner: contact that was only just made may be lost as soon. More than the
 * second that must lie between two looks, or it would not be one.
 */
const firstRefreshMs = 2_000;
const probeMs = 2_000;
/** With less time left than this an attempt could only fail, and hide why the earlier ones did. */
const leastAttemptMs = 20;
const connectAnewMs = 5_000;

interface Member {
  client: MemberClient;
  /** Monotonic ms of the last failure; 0 when it is well as far as is known. */
  failedAt: number;
  /** Monotonic ms at which the client was made. */
  madeAt: number;
}

/**
 * The members and which to ask next. A call goes to the first member that is well; members that failed are asked last
 * and watched in the background until they answer again, so that no call has to pay for finding out.
 *
 * Concurrency: members are replaced only synchronously, in `#apply`, `#replace` and `#reset`; calls hold the client they began
 * with and see it fail when it is closed.
 */
export class EtcdConnections {
  readonly #options: ConnectionOptions;
  readonly #members = new Map<string, Member>();
  readonly #stop = new AbortController();
  readonly #unfollow: () => void;
  #tls: TlsFiles | undefined;
  #generation = new AbortController();
  #refreshing: Promise<void> | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #learned: readonly string[] = [];
  #problem = 'no addresses of etcd members are known yet';

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#unfollow = options.identity?.onChange((identity) => this.#reset(identity.tls)) ?? (() => undefined);
    this.#follow().catch(() => undefined);
  }

  /** Aborted when all connections are replaced because the certificate changed: streams must be made again. */
  get generation(): AbortSignal {
    return this.#generation.signal;
  }

  /** The member that the next call would ask. @throws VolumeError `unavailable` when none is known. */
  async preferred(): Promise<MemberClient> {
    if (this.#members.size === 0) await this.#refresh();
    const [first] = this.#order();
    if (!first) throw new VolumeError('unavailable', `etcd: ${this.#problem}`);
    return first;
  }

  /**
   * Asks members in turn until one answers or the deadline has passed.
   * @throws VolumeError `unavailable` with what each member said; also when the call may have been done but is not
   *   repeatable: read again before deciding.
   */
  async call<T>(traits: CallTraits, attempt: (m: MemberClient, o: AttemptOptions) => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const timeoutMs = traits.timeoutMs ?? this.#options.requestTimeoutMs;
    const attemptMs = traits.attemptMs ?? this.#options.attemptTimeoutMs ?? 1_500;
    const end = clock.monotonic() + timeoutMs;
    const said = new Map<string, string>();
    for (let pause = 50; ; pause = Math.min(pause * 2, 1_000)) {
      for (const member of this.#order()) {
        const left = end - clock.monotonic();
        if (left < leastAttemptMs || this.#stop.signal.aborted || traits.signal?.aborted) break;
        // What cannot be repeated gets all the time there is: giving up early would only leave its outcome open.
        const ms = traits.repeatable ? Math.min(attemptMs, left) : left;
        try {
          const result = await attempt(member, { deadline: Date.now() + ms });
          this.#succeeded(member);
          return result;
        } catch (thrown) {
          const failure = failureOf(thrown);
          if (failure === 'answer') throw translate(thrown, traits.what);
          this.failed(member, thrown);
          if (failure === 'unknown' && !traits.repeatable) {
            throw translate(
              thrown,
              `${traits.what}: sent to ${member.address}, whether it was done is not known`,
            );
          }
          // That time ran out says less than what was said before.
          if (!said.has(member.address) || !(thrown instanceof GRPCDeadlineExceededError)) {
            said.set(member.address, translate(thrown, member.address).message);
          }
        }
      }
      if (this.#stop.signal.aborted)
        throw new VolumeError('unavailable', `${traits.what}: the store is closed`);
      traits.signal?.throwIfAborted();
      const left = end - clock.monotonic();
      if (left < leastAttemptMs) break;
      const refreshed = this.#refresh();
      if (this.#members.size === 0) await Promise.race([refreshed, this.#pause(left)]);
      await this.#pause(Math.min(pause, left));
    }
    const details = said.size > 0 ? [...said.values()].join('; ') : this.#problem;
    throw new VolumeError(
      'unavailable',
      `${traits.what}: etcd did not answer within ${timeoutMs} ms (${details})`,
    );
  }

  /** Notes that a member did not do its part, so that others are asked first. */
  failed(client: MemberClient, thrown: unknown): void {
    const member = this.#members.get(client.address);
    if (!member || member.client !== client) return;
    if (thrown instanceof NotConnected) this.#connectAnew(member);
    const first = member.failedAt === 0;
    member.failedAt = this.#options.clock.monotonic();
    if (first) this.#probe(member).catch(() => undefined);
  }

  close(): void {
    this.#unfollow();
    this.#stop.abort();
    this.#generation.abort();
    for (const member of this.#members.values()) member.client.close();
    this.#members.clear();
  }

  async #pause(ms: number): Promise<void> {
    await this.#options.clock.sleep(ms, this.#stop.signal).catch(() => undefined);
  }

  #order(): MemberClient[] {
    return [...this.#members.values()].sort((a, b) => a.failedAt - b.failedAt).map((member) => member.client);
  }

  #succeeded(client: MemberClient): void {
    const member = this.#members.get(client.address);
    if (member?.client === client) member.failedAt = 0;
  }

  #replace(member: Member): void {
    const { address } = member.client;
    member.client.close();
    member.client = createMemberClient(address, this.#tls);
    member.madeAt = this.#options.clock.monotonic();
  }

  /**
   * A connection attempt to a host without power hangs for minutes in the kernel: once in a while begin a new one. Not each
   * time, because on a slow host a handshake may need longer than one call waits for it.
   */
  #connectAnew(member: Member): void {
    if (this.#options.clock.monotonic() - member.madeAt > connectAnewMs) this.#replace(member);
  }

  async #probe(member: Member): Promise<void> {
    while (member.failedAt > 0 && this.#members.get(member.client.address) === member) {
      await this.#options.clock.sleep(probeMs, this.#stop.signal);
      const { client } = member;
      try {
        // A read through the quorum: a member that merely runs is not yet one worth asking.
        await client.kv.range({ key: Buffer.from('/'), count_only: true }, { deadline: Date.now() + 1_000 });
        if (member.client === client) member.failedAt = 0;
      } catch (thrown) {
        if (thrown instanceof NotConnected && member.client === client) this.#connectAnew(member);
      }
    }
  }

  #reset(tls: TlsFiles): void {
    this.#tls = tls;
    this.#options.log.info('node certificate changed: connecting to etcd again');
    for (const member of this.#members.values()) this.#replace(member);
    const old = this.#generation;
    this.#generation = new AbortController();
    old.abort();
  }

  async #follow(): Promise<void> {
    for (let pause = firstRefreshMs; !this.#stop.signal.aborted; pause = endpointRefreshMs) {
      await this.#refresh();
      await this.#options.clock.sleep(pause, this.#stop.signal);
    }
  }

  /** Reads identity and addresses again, at most once a second once some are known; never rejects. */
  #refresh(): Promise<void> {
    const { clock } = this.#options;
    if (this.#refreshing) return this.#refreshing;
    const rest = this.#members.size > 0 ? 1_000 : 100;
    if (clock.monotonic() - this.#refreshedAt < rest) return Promise.resolve();
    this.#refreshing = this.#read().finally(() => {
      this.#refreshing = undefined;
      this.#refreshedAt = clock.monotonic();
    });
    return this.#refreshing;
  }

  async #read(): Promise<void> {
    try {
      if (this.#options.identity && !this.#tls) this.#tls = (await this.#options.identity.current()).tls;
      const [told, learned] = await Promise.all([this.#options.endpoints(), this.#learn()]);
      const addresses = [...told, ...learned];
      if (addresses.length > 0) this.#apply(addresses);
      else this.#problem = 'no addresses of etcd members are known: is this node part of a Swarm?';
    } catch (thrown) {
      // What was last known stays in use.
      const { message } = toVolumeError(thrown);
      const news = this.#members.size === 0 && message !== this.#problem;
      this.#problem = message;
      if (news) this.#options.log.warn('etcd members unknown', { why: message });
    }
  }

  /** Addresses of the members that vote, as one of them lists them; those of the last time when none answers. */
  async #learn(): Promise<readonly string[]> {
    const [client] = this.#order();
    if (!this.#options.learnMembers || !client) return this.#learned;
    try {
      const { members } = await client.cluster.memberList({}, { deadline: Date.now() + 1_000 });
      const voting = members.filter((member) => !member.isLearner);
      const learned = voting.flatMap((member) => member.clientURLs.map((url) => new URL(url).host)).sort();
      if (learned.join() !== this.#learned.join())
        this.#options.log.debug('etcd members', { addresses: learned });
      this.#learned = learned;
    } catch (thrown) {
      this.failed(client, thrown);
    }
    return this.#learned;
  }

  #apply(addresses: readonly string[]): void {
    if (this.#stop.signal.aborted) return;
    const before = new Map(this.#members);
    this.#members.clear();
    for (const address of new Set(addresses)) {
      const known = before.get(address);
      before.delete(address);
      const fresh = (): Member => ({
        client: createMemberClient(address, this.#tls),
        failedAt: 0,
        madeAt: this.#options.clock.monotonic(),
      });
      this.#members.set(address, known ?? fresh());
    }
    for (const member of before.values()) member.client.close();
  }
}
