import { followAll } from '../etcd/follow-all.ts';
import type { Mirror } from '../etcd/mirror.ts';
import type { Lease, Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { NfsNull } from '../lib/nfs-null.ts';
import { movedInCircles } from '../vfile/circles.ts';
import { vfileKeys } from '../vfile/keys.ts';
import { checkOptions, isVdvs } from '../vfile/options.ts';
import { type VolumeSpec, type VolumeStatus, volumeStatusSchema } from '../vfile/types.ts';
import { servedBefore } from './claim.ts';
import { type Claimed, Claiming, type Sight, volumeSpecOf } from './claiming.ts';
import { CrashPolicy } from './crash-policy.ts';
import { withDeadline } from './deadline.ts';
import { type FindDisk, guardDisk } from './disk-guard.ts';
import type { Ending } from './ending.ts';
import type { ServerLauncher } from './ganesha-process.ts';
import type { HoldPort } from './hold-port.ts';
import { Instance } from './instance.ts';
import { guardLease } from './lease-guard.ts';
import { giveUp } from './own-lease.ts';
import { PlannedEnd } from './planned-end.ts';
import { Publication } from './publication.ts';
import type { ReplyPermit } from './reply-permit.ts';
import { type Post, ServerPost } from './server-post.ts';
import type { FileServerSettings } from './settings.ts';
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

/** An end after which the server is started again, under the same claim or under a new one. */
type Again = Extract<Ending, { kind: 'crash' | 'regrace' | 'lost' }>;
/** An end of all that was done under one claim. */
type EndOfClaim = Extract<Ending, { kind: 'stop' | 'lost' }>;

/** How long the end waits for the store to take the server record back, in ms. */
const settleTimeoutMs = 1_500;
/** How often it is looked whether the disk is still here while nothing is served, in ms. */
const diskLookMs = 100;
/** For how long a server that Docker stops may write out what it has, in ms: what a drained node needs for handing over goes, too. */
const orderedFlushMs = 1_000;
/** The same for one that was asked to stop: nobody waits for it but who asked. */
const askedFlushMs = 10_000;
/** How long handing over waits for what is still being written out, in ms; the unmount would have to do the same. */
const flushedTimeoutMs = 5_000;

/**
 * Serves one volume: waits for its disk, takes the claim, starts ganesha, publishes, looks after it, starts it again in place when it dies, and
 * stops it before the lease can have run out. Then it claims the volume anew for as long as its disk is here: a host that was too busy
 * to renew a lease, or an etcd that did not answer, is no reason to have a container taken apart and the disk moved.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #stopping = new AbortController();
  #ending: Ending | undefined;
  #instance: Instance | undefined;
  readonly #post: ServerPost;
  readonly #plannedEnd: PlannedEnd;
  readonly #claiming: Claiming;
  /** Whether nodes have the volume mounted, and so will park when the server goes. */
  #mounted = false;
  #diskHeld = false;
  /** Why the last server that was started here ended. */
  #after: string | undefined;
  /** The end of all that is done under the claim that there is now. */
  #lost: Ending | undefined;
  readonly #crashes = new CrashPolicy();

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { files, clock, log } = options;
    this.#post = new ServerPost({ ...options, layout: files.layout });
    this.#claiming = new Claiming({
      ...options,
      postAt: (volume, address) => this.#at(volume, address),
      stopping: this.#stopping.signal,
    });
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
      const ending = this.#ending;
      if (ending?.kind === 'fatal') throw new VolumeError(ending.code, ending.reason, { cause: error });
      if (ending?.kind !== 'stop') throw error;
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
    const { settings, files } = this.#options;
    const swarm = new SwarmView({ nodes, volume });
    const synced = Promise.all([volume.ready(settings.claimTimeoutMs), nodes.ready(settings.claimTimeoutMs)]);
    // Whoever waits for it hears of it; until then it must not end the process.
    synced.catch(() => undefined);
    const findDisk = () => this.#options.findDisk(this.#volumeSpec(volume).baseVolume);
    const sight: Sight = { synced, volume, nodes, swarm, findDisk, known: undefined };
    let { claiming } = (await files.attached())
      ? { claiming: this.#claiming.claim(sight, leases, this.#stopping.signal) }
      : await this.#claiming.standBy(sight, leases);
    for (;;) {
      const ending = await this.#serveClaimed(sight, claiming);
      const letGo = this.#letGo(leases);
      if (ending.kind === 'stop') return await letGo;
      claiming = this.#claiming.claimAnew(sight, leases, letGo);
    }
  }

  /** All that is done under one claim. */
  async #serveClaimed(sight: Sight, claiming: Promise<Claimed>): Promise<EndOfClaim> {
    const { settings, files, permit, clock, log, store } = this.#options;
    const { synced, volume, nodes, swarm, findDisk } = sight;
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
    this.#lost = undefined;
    const permitAnswers = () => permit.allowUntil(lease.safeUntil() - settings.leaseMarginMs);
    permitAnswers();
    lease.onRenewed(permitAnswers);
    const unguard = guardLease({
      lease,
      clock,
      marginMs: settings.leaseMarginMs,
      server: {
        kill: (reason) => {
          this.#lose(reason, volume);
          // What it says of the server goes with the lease; that it is not there any more is no news.
          publication.stop();
        },
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
      return await this.#serveAgainAndAgain(volume, (number) => {
        const { nfsNull } = this.#options;
        return new Instance({
          ...{ settings, ...post, epoch: claim.epoch, number, after: this.#after, swarm, onSwarmChange },
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
  }

  /** Gives the leases up, once. */
  async #letGo(leases: Lease[]): Promise<void> {
    const { clock, log } = this.#options;
    await giveUp({ leases: leases.splice(0), dead: this.#instance?.dead ?? true, clock, log });
  }

  /** Should this process be killed, the next server need not wait until Docker has taken the container apart. Never fails. */
  #holdDisk(volume: Mirror): void {
    const { files, log } = this.#options;
    if (this.#diskHeld || !isVdvs(this.#volumeSpec(volume).baseDriver)) return;
    this.#diskHeld = true;
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

  async #serveAgainAndAgain(volume: Mirror, create: (number: number) => Instance): Promise<EndOfClaim> {
    const { clock } = this.#options;
    for (let number = 1; ; number += 1) {
      const instance = create(number);
      this.#instance = instance;
      const over = this.#ending ?? this.#lost;
      if (over) instance.end(over);
      const began = clock.monotonic();
      const ending = await instance.run();
      if (ending.kind === 'stop') return ending;
      if (ending.kind === 'fatal') throw new VolumeError(ending.code, ending.reason);
      this.#after = ending.reason;
      await this.#pauseBefore(ending, volume, clock.monotonic() - began);
      if (ending.kind === 'lost') return ending;
    }
  }

  /** Before a server is started again. @throws VolumeError `unavailable` when it ended too often for that. */
  async #pauseBefore(ending: Again, volume: Mirror, ranMs: number): Promise<void> {
    const { clock, log } = this.#options;
    if (ending.kind === 'regrace') return log.warn(`${ending.reason}: starting again without them`);
    const stays = movedInCircles(this.#status(volume), clock.now());
    const pauseMs = this.#crashes.crashed(clock.monotonic(), ranMs, stays);
    const attempt = this.#crashes.recent;
    if (pauseMs === undefined) {
      throw new VolumeError(
        'unavailable',
        `ganesha ended ${attempt} times within a minute: ${ending.reason}`,
      );
    }
    const next = ending.kind === 'lost' ? 'claiming the volume anew' : 'starting again';
    log.error(`${ending.reason}: ${next}`, {
      pauseMs,
      attempt,
      ...(stays ? { why: 'it failed on other hosts too' } : {}),
    });
    await clock.sleep(pauseMs, this.#stopping.signal).catch(() => undefined);
  }

  /** The lease is or may soon be gone: the server must be dead before anything else happens. */
  #lose(reason: string, volume: Mirror): void {
    // Who was asked to stop has nothing to claim for. Of other drivers' disks nobody says whether they are here alone.
    if (this.#ending || !this.#plannedEnd.done || !isVdvs(this.#volumeSpec(volume).baseDriver)) {
      this.#die(reason);
      return;
    }
    const lost: Ending = { kind: 'lost', reason: `killed: ${reason}` };
    this.#lost = lost;
    this.#instance?.kill(lost);
    // The only rejection is the sleep's, when the task ends for another reason.
    this.#endWithDisk(lost).catch(() => undefined);
  }

  /**
   * While a claim is lost: ends the task as soon as the disk has left this host. Until then the host cannot say that it has let go
   * of it, and the next one waits.
   */
  async #endWithDisk(lost: Ending): Promise<void> {
    const { files, clock } = this.#options;
    while (this.#lost === lost) {
      if (!(await files.attached()) || (await files.shutDown())) {
        const reason = 'the claim was lost, and the disk has left this host since';
        return this.#endAll({ kind: 'fatal', code: 'unavailable', reason });
      }
      await clock.sleep(diskLookMs, this.#stopping.signal);
    }
  }

  /** This task must not serve any more: the server must be dead before anything else happens. */
  #die(reason: string): void {
    const ending: Ending = { kind: 'fatal', code: 'unavailable', reason: `killed: ${reason}` };
    this.#instance?.kill(ending);
    this.#options.log.error(ending.reason);
    this.#endAll(ending);
  }

  #volumeSpec(volume: Mirror): VolumeSpec {
    return volumeSpecOf(volume, this.#options.settings.volume);
  }

  #status(volume: Mirror): VolumeStatus | undefined {
    const entry = volume.entries.get(vfileKeys.status(this.#options.settings.volume));
    return volumeStatusSchema.safeParse(entry?.value).data;
  }

  #spec(volume: Mirror): { readOnly: boolean; uid?: number; gid?: number; mode?: number } {
    const spec = this.#volumeSpec(volume);
    const { access, ...root } = checkOptions(spec.options, spec.baseDriver);
    return { ...root, readOnly: access === 'read-only' };
  }
}
