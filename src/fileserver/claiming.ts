import { followAll } from '../etcd/follow-all.ts';
import type { Mirror } from '../etcd/mirror.ts';
import type { Condition, Lease, Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { vfileKeys } from '../vfile/keys.ts';
import { type VolumeSpec, volumeSpecSchema } from '../vfile/types.ts';
import { type Claim, clearDeadClaim, takeClaim } from './claim.ts';
import { persistently, unlessAborted } from './deadline.ts';
import type { FindDisk } from './disk-guard.ts';
import { EarlyClaim } from './early-claim.ts';
import { giveUp, grantLease } from './own-lease.ts';
import type { Post } from './server-post.ts';
import type { FileServerSettings } from './settings.ts';
import { standBy } from './stand-by.ts';
import type { SwarmView } from './swarm-view.ts';
import type { VolumeFiles } from './volume-files.ts';

/** The right to serve, and where. */
export interface Claimed {
  readonly address: string;
  readonly lease: Lease;
  readonly claim: Claim;
}

/** What of the store a server follows, and what it needs to claim the volume. */
export interface Sight {
  /** Resolves when both mirrors are read. */
  readonly synced: Promise<unknown>;
  readonly volume: Mirror;
  readonly nodes: Mirror;
  readonly swarm: SwarmView;
  readonly findDisk: FindDisk;
  /** The node's address, once it was known. */
  readonly known: string | undefined;
}

/** How often it is asked whether the disk is still this node's, in ms. */
const diskAskMs = 100;

/** What a volume's record says of it. @throws VolumeError `not_found` when it is gone. */
export function volumeSpecOf(mirror: Mirror, volume: string): VolumeSpec {
  const entry = mirror.entries.get(vfileKeys.spec(volume));
  if (!entry) throw new VolumeError('not_found', `there is no volume ${volume}`);
  return volumeSpecSchema.parse(entry.value);
}

/** What claiming needs. */
export interface ClaimingParts {
  readonly settings: FileServerSettings;
  readonly store: Store;
  readonly files: Pick<VolumeFiles, 'attached' | 'receivesMounts'>;
  /** See `SupervisorOptions.followDisk`. */
  readonly followDisk: (baseVolume: string, told: (ours: boolean) => void) => () => void;
  /** Where the volume is served at this address; the server that waits there is made ready meanwhile. */
  readonly postAt: (mirror: Mirror, address: string) => Post;
  /** Aborted when the task ends. */
  readonly stopping: AbortSignal;
  readonly clock: Clock;
  readonly log: Log;
}

/** The ways in which a task comes by the right to serve its volume. */
export class Claiming {
  readonly #parts: ClaimingParts;

  constructor(parts: ClaimingParts) {
    this.#parts = parts;
  }

  /**
   * Gets a lease, this node's address and the claim; the disk is here, or on its way.
   * @param leases takes up what has to be given up again, whatever comes of it.
   * @param onlyWhile what must hold as the claim is taken.
   */
  async claim(sight: Sight, leases: Lease[], signal: AbortSignal, onlyWhile?: Condition): Promise<Claimed> {
    const { settings, clock, log, store } = this.#parts;
    const { synced, volume: mirror, nodes, swarm, known, findDisk } = sight;
    const { volume, nodeId: node, claimTimeoutMs: timeoutMs } = settings;
    const ready = async (): Promise<string> => {
      await synced;
      const address = this.#addressNow(swarm) ?? known ?? (await this.#ownAddress(nodes, swarm));
      this.#parts.postAt(mirror, address).spare.prepare(swarm.mayMount());
      return address;
    };
    const [lease, address] = await Promise.all([
      grantLease({ store, settings, leases, clock, log, signal }),
      ready(),
      synced.then(() => clearDeadClaim({ volume, node, store, mirror, findDisk, log })),
    ]);
    const claim = await takeClaim({
      ...{ volume, node, store, mirror, lease, clock, log, timeoutMs, onlyWhile, signal },
    });
    return { address, lease, claim };
  }

  /**
   * After the claim was lost. That the disk seems to be mounted here proves nothing: a host that was frozen may look before its
   * guard does. So the claim is taken only while this node has the disk by vDVS's records, in one transaction with them.
   * @param letGo resolves when as much as possible was done to end the claim before.
   * @throws VolumeError `unavailable` when this node has not got the disk any more.
   */
  async claimAnew(sight: Sight, leases: Lease[], letGo: Promise<void>): Promise<Claimed> {
    const signal = this.#parts.stopping;
    const claim = async () => {
      await letGo;
      return await this.claim(sight, leases, signal, await this.#ownDisk(sight, signal));
    };
    // A store that does not answer keeps nobody here: what still comes of it ends with this process.
    return await unlessAborted(signal, claim());
  }

  /** True for as long as this node has the disk. @throws VolumeError `unavailable` when it has not. */
  async #ownDisk({ findDisk }: Sight, signal: AbortSignal): Promise<Condition> {
    const { settings, clock, log } = this.#parts;
    const onFailure = (why: string) => log.debug('whether the disk is still here is not known', { why });
    const timeoutMs = settings.claimTimeoutMs;
    const disk = await persistently({ clock, timeoutMs, pauseMs: diskAskMs, onFailure, signal }, findDisk);
    if (disk) return disk.condition;
    throw new VolumeError(
      'unavailable',
      'the claim was lost, and the disk is not given to this host any more',
    );
  }

  /** Waits for the disk with all done that can be done without it. */
  async standBy(before: Sight, leases: Lease[]): Promise<{ readonly claiming: Promise<Claimed> }> {
    const { settings, files, followDisk, clock, log } = this.#parts;
    const { synced, volume, nodes, swarm } = before;
    const signal = this.#parts.stopping;
    await unlessAborted(signal, synced);
    const address = await this.#ownAddress(nodes, swarm);
    const { spare } = this.#parts.postAt(volume, address);
    const ready = () => spare.prepare(swarm.mayMount());
    ready();
    const unfollow = followAll(volume, nodes)(ready);
    const sight: Sight = { ...before, known: address };
    const early = new EarlyClaim<Claimed>({
      claim: (own, calledOff) => this.claim(sight, own, AbortSignal.any([calledOff, signal])),
      giveUp: (own) => giveUp({ leases: own, dead: true, clock, log }),
      log,
    });
    const unfollowDisk = followDisk(volumeSpecOf(volume, settings.volume).baseVolume, (ours) =>
      early.granted(ours),
    );
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
      if (!taken) return await this.claim(sight, leases, signal);
      leases.push(...taken.leases);
      return taken.claimed;
    };
    return { claiming: claiming() };
  }

  #addressNow(swarm: SwarmView): string | undefined {
    const { nodeAddress, nodeId } = this.#parts.settings;
    return nodeAddress ?? swarm.addressOf(nodeId);
  }

  async #ownAddress(nodes: Mirror, swarm: SwarmView): Promise<string> {
    const { nodeId, claimTimeoutMs } = this.#parts.settings;
    return nodes.waitFor(() => this.#addressNow(swarm), {
      timeoutMs: claimTimeoutMs,
      describe: () => `the vFile plugin of node ${nodeId} has not said which address the node has`,
      signal: this.#parts.stopping,
    });
  }
}
