import type { Mirror } from '../etcd/mirror.ts';
import type { Condition, Entry, Lease, Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { vfileKeys } from '../vfile/keys.ts';
import { type ServerClaim, serverClaimSchema, serverEpochSchema } from '../vfile/types.ts';
import type { FindDisk } from './disk-guard.ts';

/** The exclusive right to serve a volume, for as long as the lease lasts. */
export interface Claim {
  /** One more than that of any server before; no epoch is served twice. */
  readonly epoch: number;
  /** Holds while the claim is ours: what every later write compares. */
  readonly condition: Condition;
  /** What the store says of it. */
  readonly record: ServerClaim;
  /** See `servedBefore`, as of the claim. */
  readonly servedBefore: boolean;
}

/** What claiming needs. */
export interface ClaimOptions {
  readonly volume: string;
  readonly node: string;
  readonly store: Store;
  /** Mirror of the volume's keys. */
  readonly mirror: Mirror;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly log: Log;
  /** How long to wait for the last holder. */
  readonly timeoutMs: number;
  /** What else must hold as the claim is taken. */
  readonly onlyWhile?: Condition | undefined;
  readonly signal: AbortSignal;
}

/** Whether the volume was ever served, according to the mirror; a claim alone says nothing. */
export function servedBefore(mirror: Mirror, volume: string): boolean {
  const entry = mirror.entries.get(vfileKeys.epoch(volume));
  if (!entry) return false;
  const { epoch, served } = serverEpochSchema.parse(entry.value);
  return served ?? epoch > 0;
}

/** The newest epoch ever claimed according to the mirror; 0 when the volume was never served. */
export function lastEpoch(mirror: Mirror, volume: string): number {
  const entry = mirror.entries.get(vfileKeys.epoch(volume));
  return entry ? serverEpochSchema.parse(entry.value).epoch : 0;
}

function holder(entry: Entry): string {
  const claim = serverClaimSchema.safeParse(entry.value);
  return claim.success
    ? `the server on node ${claim.data.node} (epoch ${claim.data.epoch}, since ${claim.data.since})`
    : 'a server whose claim cannot be read';
}

/**
 * Waits until nobody holds the volume's claim and takes it. Being first is decided by one transaction, so of several
 * servers started at once exactly one gets through at a time.
 * @throws VolumeError `timeout` naming the holder; `not_found` when the volume is gone; what the store throws.
 */
export async function takeClaim(options: ClaimOptions): Promise<Claim> {
  const { volume, mirror, lease, clock, log, signal } = options;
  const key = vfileKeys.claim(volume);
  const deadline = clock.monotonic() + options.timeoutMs;
  let told: string | undefined;
  for (;;) {
    await mirror.waitFor(
      () => {
        const entry = mirror.entries.get(key);
        if (!entry || entry.lease === lease.id) return true;
        const waitingFor = holder(entry);
        if (told !== waitingFor) log.info(`waiting for ${waitingFor} to let go of the volume`);
        told = waitingFor;
        return undefined;
      },
      {
        timeoutMs: Math.max(0, deadline - clock.monotonic()),
        describe: () => {
          const entry = mirror.entries.get(key);
          const trouble = mirror.problem ? ` (${mirror.problem})` : '';
          return `volume ${volume} is still claimed by ${entry ? holder(entry) : 'nobody'}${trouble}`;
        },
        signal,
      },
    );
    const ours = mirror.entries.get(key);
    // A transaction of unknown outcome has been done after all.
    if (ours) return claimed(options, serverClaimSchema.parse(ours.value), ours.createRevision);
    let why = 'another server was faster';
    try {
      const claim = await tryClaim(options);
      if (claim) return claim;
    } catch (error) {
      if (!(error instanceof VolumeError) || !error.retry) throw error;
      why = error.message;
    }
    if (clock.monotonic() >= deadline) {
      throw new VolumeError('timeout', `volume ${volume} not claimed within ${options.timeoutMs} ms: ${why}`);
    }
    // Whatever stood in the way, the mirror has not shown it yet: leave it a moment rather than spin.
    await clock.sleep(50, signal);
  }
}

/**
 * Takes away the claim of a server whose node has given the disk back: it died with its container, and only its lease lives
 * on. The node that has the disk now is this one, so no other can have claimed since. A claim of this very node says nothing:
 * its server may have the same disk. Never fails: at worst the lease has to run out.
 */
export async function clearDeadClaim(
  options: Pick<ClaimOptions, 'volume' | 'node' | 'store' | 'mirror' | 'log'> & { findDisk: FindDisk },
): Promise<void> {
  const { volume, node, store, mirror, findDisk, log } = options;
  const key = vfileKeys.claim(volume);
  const last = mirror.entries.get(key);
  if (!last || serverClaimSchema.safeParse(last.value).data?.node === node) return;
  try {
    const disk = await findDisk();
    if (!disk?.givenBack) return;
    const { done } = await store.txn(
      [heldAt(key, last.createRevision), disk.condition],
      [{ delete: key }, { delete: vfileKeys.server(volume) }],
    );
    if (done) log.info(`${holder(last)} is gone: its node has given the disk back`);
  } catch (error) {
    log.warn('whether the last server can still serve is not known', { why: toVolumeError(error).message });
  }
}

function heldAt(key: string, createRevision: number): Condition {
  return { key, createRevision };
}

function claimed({ mirror, volume }: ClaimOptions, record: ServerClaim, createRevision: number): Claim {
  return {
    epoch: record.epoch,
    condition: heldAt(vfileKeys.claim(volume), createRevision),
    record,
    servedBefore: servedBefore(mirror, volume),
  };
}

async function tryClaim(options: ClaimOptions): Promise<Claim | undefined> {
  const { volume, node, store, mirror, lease, clock, onlyWhile } = options;
  const [claimKey, epochKey, specKey] = [
    vfileKeys.claim(volume),
    vfileKeys.epoch(volume),
    vfileKeys.spec(volume),
  ];
  if (!mirror.entries.has(specKey)) throw new VolumeError('not_found', `there is no volume ${volume}`);
  const before = mirror.entries.get(epochKey);
  const epoch = lastEpoch(mirror, volume) + 1;
  const record: ServerClaim = { v: 1, node, epoch, since: new Date(clock.now()).toISOString() };
  const result = await store.txn(
    [
      { key: claimKey, is: 'absent' },
      { key: specKey, is: 'present' },
      before ? { key: epochKey, modRevision: before.modRevision } : { key: epochKey, is: 'absent' },
      ...(onlyWhile ? [onlyWhile] : []),
    ],
    [
      { put: claimKey, value: record, lease: lease.id },
      { put: epochKey, value: { v: 1, epoch, served: servedBefore(mirror, volume) } },
    ],
  );
  return result.done ? claimed(options, record, result.revision) : undefined;
}
