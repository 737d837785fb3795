import { followAll } from '../etcd/follow-all.ts';
import type { Mirror } from '../etcd/mirror.ts';
import type { Lease, Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { NfsNull } from '../lib/nfs-null.ts';
import { vfileKeys } from '../vfile/keys.ts';
import { checkOptions, isVdvs } from '../vfile/options.ts';
import { type VolumeSpec, volumeSpecSchema } from '../vfile/types.ts';
import { type Claim, clearDeadClaim, servedBefore, takeClaim } from './claim.ts';
import { CrashPolicy } from './crash-policy.ts';
import { unlessAborted, withDeadline } from './deadline.ts';
import { type FindDisk, guardDisk } from './disk-guard.ts';
import { EarlyClaim } from './early-claim.ts';
import type { Ending } from './ending.ts';
import type { ServerLauncher } from './ganesha-process.ts';
import type { HoldPort } from './hold-port.ts';
import { Instance } from './instance.ts';
import { guardLease } from './lease-guard.ts';
import { giveUp, grantLease } from './own-lease.ts';
import { PlannedEnd } from './planned-end.ts';
import { Publication } from './publication.ts';
import type { ReplyPermit } from './reply-permit.ts';
import { type Post, ServerPost } from './server-post.ts';
import type { FileServerSettings } from './settings.ts';
import { standBy } from './stand-by.ts';
import { SwarmView } from './swarm-view.ts';
import type { VolumeFiles } from './volume-files.ts';

/** What the supervisor works with. */
export interface SupervisorOptions {
  readonly settings: FileServerSettings;
  readonly store: Store;
  readonly createMirror: (prefix: string) => Mirror;
  readonly launcher: ServerLauncher;
  readonly files: VolumeFiles;
  readonly nfsNull: NfsNull;
  readonly holdPort: HoldPort;
  readonly permit: ReplyPermit;
  /** How this node has a base volume's disk. */
  readonly findDisk: (baseVolume: string) => ReturnType<FindDisk>;
  /** Tells whether this node has a base volume's disk or is being given it, when that changes, until the answer is called. */
  readonly followDisk: (baseVolume: string, told: (ours: boolean) => void) => () => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** An end after which the server is started again. */
type Again = Extract<Ending, { kind: 'crash' | 'regrace' }>;

/** The right to serve, and where. */
interface Claimed {
  readonly address: string;
  readonly lease: Lease;
  readonly claim: Claim;
}

/** What of the store a server follows, and what it needs to claim the volume. */
interface Sight {
  /** Resolves when both mirrors are read. */
  readonly synced: Promise<unknown>;
  readonly volume: Mirror;
  readonly nodes: Mirror;
  readonly swarm: SwarmView;
  readonly findDisk: FindDisk;
  /** The node's address, once it was known. */
  readonly known: string | undefined;
}

/** How long the end waits for the store to take the server record back, in ms. */
const settleTimeoutMs = 1_500;
/** For how long a server that Docker stops may write out what it has, in ms: what a drained node needs for handing over goes, too. */
const orderedFlushMs = 1_000;
/** The same for one that was asked to stop: nobody waits for it but who asked. */
const askedFlushMs = 10_000;
/** How long handing over waits for what is still being written out, in ms; the unmount would have to do the same. */
const flushedTimeoutMs = 5_000;

/**
 * Serves one volume: waits for its disk, takes the claim, starts ganesha, publishes, looks after it, starts it again in place when it dies, and
 * stops it before the lease can have run out.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #stopping = new AbortController();
  #ending: Ending | undefined;
  #instance: Instance | undefined;
  readonly #post: ServerPost;
  readonly #plannedEnd: PlannedEnd;
  /** Whether nodes have the volume mounted, and so will park when the server goes. */
  #mounted = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { files, clock, log } = options;
    this.#post = new ServerPost({ ...options, layout: files.layout });
    this.#plannedEnd = new PlannedEnd({
      serves: () => this.#instance?.dead === false && this.#post.writable,
      flush: () => files.flush(),
      end: () => this.#endAll({ kind: 'stop' }),
      ...{ clock, log },
    });
  }

  /**
   * Runs until `stop` is aborted.
   * @throws VolumeError when this task cannot serve: Swarm starts another, here or elsewhere.
   */
  async run(stop: AbortSignal): Promise<void> {
    const { createMirror, settings, clock, log } = this.#options;
    const onStop = () => this.#plannedEnd.begin(orderedFlushMs);
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    const volume = createMirror(vfileKeys.volume(settings.volume));
    const nodes = createMirror(vfileKeys.nodes);
    const leases: Lease[] = [];
    try {
      await this.#serve(volume, nodes, leases);
    } catch (error) {
      if (this.#ending?.kind !== 'stop') throw error;
      log.info('stopped before it served');
    } finally {
      stop.removeEventListener('abort', onStop);
      volume.stop();
      nodes.stop();
      this.#post.discardSpare();
      await this.#letGo(leases);
      // Not of a disk that a process here still uses: the end of this one will do.
      if (this.#idle) await this.#options.files.letGoOfDisk().catch(() => undefined);
      // Who is not parked yet would be refused, and wait. The next server need not wait for this one to end.
      if (this.#ending?.kind === 'stop' && this.#mounted) await clock.sleep(settings.parkMs);
      this.#post.leave();
    }
  }

  /** Whether no process here uses the disk any more. */
  get #idle(): boolean {
    return this.#instance?.dead === true && this.#plannedEnd.done;
  }

  #endAll(ending: Ending): void {
    if (this.#ending) return;
    this.#ending = ending;
    this.#instance?.end(ending);
    this.#stopping.abort(new VolumeError('unavailable', 'the file server is stopping'));
  }

  async #serve(volume: Mirror, nodes: Mirror, leases: Lease[]): Promise<void> {
    const { settings, files, permit, clock, log, store } = this.#options;
    const swarm = new SwarmView({ nodes, volume });
    const synced = Promise.all([volume.ready(settings.claimTimeoutMs), nodes.ready(settings.claimTimeoutMs)]);
    // Whoever waits for it hears of it; until then it must not end the process.
    synced.catch(() => undefined);
    const findDisk = () => this.#options.findDisk(this.#volumeSpec(volume).baseVolume);
    const sight: Sight = { synced, volume, nodes, swarm, findDisk, known: undefined };
    const { claiming } = (await files.attached())
      ? { claiming: this.#claim(sight, leases, this.#stopping.signal) }
      : await this.#standBy(sight, leases);
    const onSwarmChange = followAll(volume, nodes);
    // What the disk needs is done meanwhile: clients wait. A server that finds the wrong disk gives the claim back.
    const [, { address, lease, claim }] = await Promise.all([
      synced.then(() => this.#prepare(volume)),
      claiming,
    ]);
    log.info('claimed', { epoch: claim.epoch, since: claim.record.since });
    const publication = new Publication({
      volume: settings.volume,
      store,
      lease,
      claim,
      clock,
      log,
      onRefused: () => this.#die('the claim is not ours any more'),
    });
    const permitAnswers = () => permit.allowUntil(lease.safeUntil() - settings.leaseMarginMs);
    permitAnswers();
    lease.onRenewed(permitAnswers);
    const unguard = guardLease({
      lease,
      clock,
      marginMs: settings.leaseMarginMs,
      server: {
        kill: (reason) => this.#die(reason),
        freeze: () => {
          log.warn('this host seems to have been suspended: frozen until the lease is renewed');
          this.#instance?.freeze();
        },
        thaw: () => {
          log.info('the lease is renewed: serving again');
          this.#instance?.thaw();
        },
      },
    });
    const unguardDisk = guardDisk({
      ...{ store, clock, log },
      findDisk,
      kill: (reason) => this.#die(reason),
    });
    const heed = () => {
      if (!swarm.asksToStop(claim.epoch) || this.#ending || !this.#plannedEnd.done) return;
      log.info('asked to stop: a standby takes over');
      this.#plannedEnd.begin(askedFlushMs);
    };
    const unheed = volume.onChange(heed);
    const post = this.#at(volume, address);
    if (post.spare.accepts) publication.announce(address);
    const { readOnly } = post.place;
    if (!readOnly) this.#holdDisk(volume);
    const unfollow = readOnly ? () => undefined : await files.followRecords();
    try {
      await this.#serveAgainAndAgain((number) => {
        const { nfsNull } = this.#options;
        return new Instance({
          ...{ settings, ...post, epoch: claim.epoch, number, swarm, onSwarmChange },
          ...{ publication, files, nfsNull, clock, log },
        });
      });
    } finally {
      unguard();
      unguardDisk();
      unheed();
      unfollow();
      this.#mounted = swarm.mounted;
      // The next server has the disk brought to it meanwhile, and claims as it is given it.
      await Promise.all([
        this.#handOver(volume),
        withDeadline(clock, settleTimeoutMs, 'settling', publication.settled()).catch(() => undefined),
      ]);
      publication.stop();
    }
    await this.#letGo(leases);
  }

  /** Gets a lease, this node's address and the claim. */
  async #claim(sight: Sight, leases: Lease[], signal: AbortSignal): Promise<Claimed> {
    const { settings, clock, log, store } = this.#options;
    const { synced, volume: mirror, nodes, swarm, known, findDisk } = sight;
    const { volume, nodeId: node, claimTimeoutMs: timeoutMs } = settings;
    const ready = async (): Promise<string> => {
      await synced;
      const address = this.#addressNow(swarm) ?? known ?? (await this.#ownAddress(nodes, swarm));
      this.#at(mirror, address).spare.prepare(swarm.mayMount());
      return address;
    };
    const [lease, address] = await Promise.all([
      grantLease({ store, settings, leases, clock, log, signal }),
      ready(),
      synced.then(() => clearDeadClaim({ volume, node, store, mirror, findDisk, log })),
    ]);
    const claim = await takeClaim({ volume, node, store, mirror, lease, clock, log, timeoutMs, signal });
    return { address, lease, claim };
  }

  /** Gives the leases up, once. */
  async #letGo(leases: Lease[]): Promise<void> {
    const { clock, log } = this.#options;
    await giveUp({ leases: leases.splice(0), dead: this.#instance?.dead ?? true, clock, log });
  }

  /** Should this process be killed, the next server need not wait until Docker has taken the container apart. Never fails. */
  #holdDisk(volume: Mirror): void {
    const { files, log } = this.#options;
    if (!isVdvs(this.#volumeSpec(volume).baseDriver)) return;
    files.holdDisk().catch((error) => log.debug(`disk not held: ${toVolumeError(error).message}`));
  }

  /**
   * After a planned stop of a volume in use the next server need not wait for the end of this container. Never fails: without, it
   * waits. Where nobody uses the volume there is no next one, only a standby that would attach the disk for nothing.
   */
  async #handOver(volume: Mirror): Promise<void> {
    const { files, clock, log } = this.#options;
    if (this.#ending?.kind !== 'stop') return;
    try {
      await withDeadline(clock, flushedTimeoutMs, 'writing out', this.#plannedEnd.settled());
      if (!this.#idle) return;
      if (!isVdvs(this.#volumeSpec(volume).baseDriver)) return;
      await (this.#mounted ? files.handOver() : files.keepDisk());
    } catch (error) {
      log.debug(`disk not handed over: ${toVolumeError(error).message}`);
    }
  }

  /** Waits for the disk with all done that can be done without it. */
  async #standBy(before: Sight, leases: Lease[]): Promise<{ readonly claiming: Promise<Claimed> }> {
    const { settings, files, followDisk, clock, log } = this.#options;
    const { synced, volume, nodes, swarm } = before;
    const { signal } = this.#stopping;
    await unlessAborted(signal, synced);
    const address = await this.#ownAddress(nodes, swarm);
    const { spare } = this.#at(volume, address);
    const ready = () => spare.prepare(swarm.mayMount());
    ready();
    const unfollow = followAll(volume, nodes)(ready);
    const sight: Sight = { ...before, known: address };
    const early = new EarlyClaim<Claimed>({
      claim: (own, calledOff) => this.#claim(sight, own, AbortSignal.any([calledOff, signal])),
      giveUp: (own) => giveUp({ leases: own, dead: true, clock, log }),
      log,
    });
    const unfollowDisk = followDisk(this.#volumeSpec(volume).baseVolume, (ours) => early.granted(ours));
    try {
      await standBy({ volume: settings.volume, mirror: volume, files, clock, log, signal });
    } catch (error) {
      await early.end();
      throw error;
    } finally {
      unfollow();
      unfollowDisk();
    }
    const claiming = async (): Promise<Claimed> => {
      const taken = await early.take();
      if (!taken) return await this.#claim(sight, leases, signal);
      leases.push(...taken.leases);
      return taken.claimed;
    };
    return { claiming: claiming() };
  }

  #at(volume: Mirror, address: string): Post {
    return this.#post.at(address, this.#spec(volume).readOnly);
  }

  /** Readies the disk according to the volume's spec. */
  async #prepare(volume: Mirror): Promise<void> {
    const { settings, files } = this.#options;
    const { readOnly, ...root } = this.#spec(volume);
    const served = servedBefore(volume, settings.volume);
    await files.prepare({ volume: settings.volume, servedBefore: served, readOnly, root });
  }

  async #serveAgainAndAgain(create: (number: number) => Instance): Promise<void> {
    const { clock } = this.#options;
    const crashes = new CrashPolicy();
    for (let number = 1; ; number += 1) {
      const instance = create(number);
      this.#instance = instance;
      if (this.#ending) instance.end(this.#ending);
      const began = clock.monotonic();
      const ending = await instance.run();
      if (ending.kind === 'stop') return;
      if (ending.kind === 'fatal') throw new VolumeError(ending.code, ending.reason);
      await this.#pauseBefore(ending, crashes, clock.monotonic() - began);
    }
  }

  /** Before a server is started again. @throws VolumeError `unavailable` when it died too often for that. */
  async #pauseBefore(ending: Again, crashes: CrashPolicy, ranMs: number): Promise<void> {
    const { clock, log } = this.#options;
    if (ending.kind === 'regrace') return log.warn(`${ending.reason}: starting again without them`);
    const pauseMs = crashes.crashed(clock.monotonic(), ranMs);
    if (pauseMs === undefined) {
      throw new VolumeError(
        'unavailable',
        `ganesha died ${crashes.recent} times within a minute: ${ending.reason}`,
      );
    }
    log.error(`${ending.reason}: starting again`, { pauseMs, attempt: crashes.recent });
    await clock.sleep(pauseMs, this.#stopping.signal).catch(() => undefined);
  }

  /** The lease is or may be gone: the server must be dead before anything else happens. */
  #die(reason: string): void {
    const ending: Ending = { kind: 'fatal', code: 'unavailable', reason: `killed: ${reason}` };
    this.#instance?.kill(ending);
    this.#options.log.error(ending.reason);
    this.#endAll(ending);
  }

  #volumeSpec(volume: Mirror): VolumeSpec {
    const name = this.#options.settings.volume;
    const entry = volume.entries.get(vfileKeys.spec(name));
    if (!entry) throw new VolumeError('not_found', `there is no volume ${name}`);
    return volumeSpecSchema.parse(entry.value);
  }

  #spec(volume: Mirror): { readOnly: boolean; uid?: number; gid?: number; mode?: number } {
    const spec = this.#volumeSpec(volume);
    const { access, ...root } = checkOptions(spec.options, spec.baseDriver);
    return { ...root, readOnly: access === 'read-only' };
  }

  #addressNow(swarm: SwarmView): string | undefined {
    const { nodeAddress, nodeId } = this.#options.settings;
    return nodeAddress ?? swarm.addressOf(nodeId);
  }

  async #ownAddress(nodes: Mirror, swarm: SwarmView): Promise<string> {
    const { nodeId, claimTimeoutMs } = this.#options.settings;
    return nodes.waitFor(() => this.#addressNow(swarm), {
      timeoutMs: claimTimeoutMs,
      describe: () => `the vFile plugin of node ${nodeId} has not said which address the node has`,
      signal: this.#stopping.signal,
    });
  }
}
