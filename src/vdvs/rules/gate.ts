import { randomInt } from 'node:crypto';
import type { Condition, Operation, Store, TxnResult } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import { createKeyedQueue } from '../../lib/keyed-queue.ts';
import { baseVolumePrefix, renderVolumeName } from '../names.ts';
import type { VolumeId } from '../types.ts';
import { decideSize, decideTotal, requireAccess, requireGroup, type SizeWish } from './decide.ts';
import { groupOfName } from './group-names.ts';
import { rulesKeys } from './keys.ts';
import { type RulesRead, readRules } from './read-rules.ts';
import { defaultGroup, type Group, type Rules } from './types.ts';
import { chargedVolume, countDisks, readCharge } from './usage.ts';

/** A change of a disk's size, and whose wish it is. */
export interface SizeChange extends SizeWish {
  readonly caller: { readonly node: string };
}

/**
 * Stands before every transaction that rules have a say in, and makes them part of it: what it lets pass was allowed at the
 * very revision at which it was done.
 */
export interface RulesGate {
  /**
   * Makes a disk or changes its size: does the transaction if conditions, rules and quota hold. The quota is that of the
   * group in whose name space the disk is.
   * @param signal ends when it is not wanted any more: then it is not begun, also after a wait for its turn.
   * @returns not done when one of `when` does not hold.
   * @throws VolumeError `denied`, `no_space` (the total quota), `invalid` (policy), `conflict` when others keep being faster.
   */
  commitSize(
    change: SizeChange,
    when: readonly Condition[],
    then: readonly Operation[],
    signal?: AbortSignal,
  ): Promise<TxnResult>;
  /** Gives a volume to a node. @returns and @throws as above; also `not_found` for one of another group, `conflict` for a lease that is gone. */
  commitAttach(
    node: string,
    id: VolumeId,
    when: readonly Condition[],
    then: readonly Operation[],
  ): Promise<TxnResult>;
  /** The rules as last seen here, for guesses that a commit proves right or wrong; `undefined` when there are none. */
  remembered(): Rules | undefined;
}

/** What the gate needs. */
export interface GateParts {
  readonly store: Store;
  readonly clock: Clock;
  /** The datastore that the hosts themselves live on. */
  readonly hostDatastore: string;
  /** The node that created the shared volume above a base volume; `undefined` when there is none. */
  readonly creatorOf: (baseVolume: string) => Promise<string | undefined>;
}

/** ms: how long a transaction is tried, and between two tries, at random, when another service was faster. */
const times = { tryMs: 15_000, lockMs: 25, pauseMs: 40 } as const;

/** What rules add to a transaction. */
interface Addition {
  readonly when: readonly Condition[];
  readonly also: readonly Operation[];
}

/** The gate over the store; any number of services may have one each. */
export function createRulesGate(parts: GateParts): RulesGate {
  const { store, clock, hostDatastore } = parts;
  const queue = createKeyedQueue();
  /**
   * The rules as last read, which saves a look at the store: a transaction that they let pass compares them, and what they
   * refuse is decided again by rules read anew.
   */
  let known: RulesRead | undefined;
  const freshRules = async (): Promise<RulesRead> => {
    const read = await readRules(store);
    known = read.locked ? undefined : read;
    return read;
  };

  /** Tries until it is done, refused, or one of the caller's own conditions is what does not hold. */
  const commit = async (
    id: VolumeId,
    decide: (read: RulesRead) => Promise<Addition>,
    when: readonly Condition[],
    then: readonly Operation[],
    signal?: AbortSignal,
  ): Promise<TxnResult> => {
    let refused: { at: string; result: TxnResult } | undefined;
    for (const until = clock.monotonic() + times.tryMs; clock.monotonic() < until; ) {
      const remembered = known;
      const read = remembered ?? (await freshRules());
      if (read.locked) {
        await clock.sleep(times.lockMs);
        continue;
      }
      const added = await decide(read).catch((thrown) => {
        known = undefined;
        if (remembered === undefined) throw thrown;
      });
      if (!added) continue;
      const at = JSON.stringify([read.unchanged, added.when]);
      // Nothing that the rules watch has changed since: the caller's own conditions do not hold.
      if (refused?.at === at) return refused.result;
      signal?.throwIfAborted();
      const result = await store
        .txn([...when, ...read.unchanged, ...added.when], [...then, ...added.also])
        .catch((thrown) => {
          if (toVolumeError(thrown).code !== 'not_found') throw thrown;
          // The lease that it was to hang on, not the volume: for users two different things.
          throw new VolumeError('conflict', `volume ${renderVolumeName(id)}: the host’s lease is gone`, {
            cause: thrown,
          });
        });
      if (result.done) return result;
      known = undefined;
      if (refused) await clock.sleep(randomInt(1, times.pauseMs));
      refused = { at, result };
    }
    throw new VolumeError(
      'conflict',
      `volume ${renderVolumeName(id)}: the rules or the quota keep changing; try again`,
    );
  };

  /** Who pays for a disk. */
  const payer = async ({ rules }: RulesRead, { caller, id, fromBytes }: SizeChange): Promise<Group> => {
    const owner = groupOfName(id.name);
    if (owner === undefined) {
      // What is there already, and snapshots of it, count where they were counted first, wherever their creator is now.
      const there = fromBytes > 0 || chargedVolume(id).name !== id.name;
      const charged = there ? await readCharge(store, id) : undefined;
      const first = rules.groups.find((one) => one.id === charged);
      if (first) return first;
      const creator = await parts.creatorOf(id.name);
      return requireGroup(rules, creator ?? caller.node);
    }
    const group = rules.groups.find((one) => one.id === owner);
    if (group) return group;
    // Its group was removed a moment ago: what the caller has now has another name.
    requireGroup(rules, caller.node);
    throw new VolumeError('denied', `No access privilege exists for volume ${renderVolumeName(id)}`);
  };

  const charge = (id: VolumeId, group: Group): readonly Operation[] => {
    if (!id.name.startsWith(baseVolumePrefix) || chargedVolume(id).name !== id.name) return [];
    const key = rulesKeys.charge(id);
    return [group.id === defaultGroup ? { delete: key } : { put: key, value: { v: 1, group: group.id } }];
  };

  /** The total, counted at a revision of the ledger that the transaction compares and changes. */
  const countTotal = async (change: SizeChange, group: Group, total: number): Promise<Addition> => {
    const { datastore, name } = change.id;
    const key = rulesKeys.ledger(group.id, datastore);
    const modRevision = (await store.get(key))?.modRevision ?? 0;
    const disks = await countDisks(store, datastore);
    const others = disks
      // The disk itself counts with its new size, and twice the same create is one disk.
      .filter((disk) => disk.group === group.id && disk.id.name !== name)
      .reduce((sum, disk) => sum + disk.sizeBytes, 0);
    decideTotal(group, change, others, total);
    return {
      when: [{ key, modRevision }],
      also: [{ put: key, value: { v: 1, bytes: others + change.toBytes } }],
    };
  };

  /** The ledger that a change has to wait for; `undefined` when no total limits it. Only a hint: `commit` decides. */
  const turnOf = async (change: SizeChange): Promise<string | undefined> => {
    const read = known ?? (await freshRules());
    try {
      const group = await payer(read, change);
      const total = decideSize(read.rules, group, change, hostDatastore);
      return total === undefined ? undefined : rulesKeys.ledger(group.id, change.id.datastore);
    } catch {
      return undefined;
    }
  };

  return {
    remembered: () => known?.rules,

    async commitSize(change, when, then, signal) {
      const decide = async (read: RulesRead): Promise<Addition> => {
        const group = await payer(read, change);
        const total = decideSize(read.rules, group, change, hostDatastore);
        const paid = change.fromBytes === 0 ? charge(change.id, group) : [];
        if (total === undefined) return { when: [], also: paid };
        const counted = await countTotal(change, group, total);
        return { when: counted.when, also: [...paid, ...counted.also] };
      };
      // Under a quota one after another: they would only find that another one was faster.
      const turn = await turnOf(change);
      if (turn === undefined) return await commit(change.id, decide, when, then, signal);
      return await queue.run(turn, () => commit(change.id, decide, when, then, signal));
    },

    async commitAttach(node, id, when, then) {
      const owner = groupOfName(id.name);
      const decide = async ({ rules }: RulesRead): Promise<Addition> => {
        if (owner === undefined) return { when: [], also: [] };
        const group = requireGroup(rules, node);
        if (group.id !== owner) {
          // The node changed its group since it was asked what the name means.
          throw new VolumeError('not_found', `volume ${renderVolumeName(id)} does not exist`);
        }
        requireAccess(group, id.datastore, hostDatastore);
        return { when: [], also: [] };
      };
      return await commit(id, decide, when, then);
    },
  };
}
