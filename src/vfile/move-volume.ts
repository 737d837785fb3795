import type { Store } from '../etcd/store.ts';
import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import { vfileKeys } from './keys.ts';
import { parseRecord, readVolume } from './read-volume.ts';
import { type NodeRecord, nodeRecordSchema } from './types.ts';

/** What asking for a move needs. */
export interface MoveParts {
  readonly store: Store;
  readonly clock: Clock;
}

/** A move as it was asked for; host names for people. */
export interface MoveAsked {
  readonly from: string;
  /** Absent when any other node will do. */
  readonly to: string | undefined;
  /** Of the server that is to be moved: one with a higher epoch has moved. */
  readonly epoch: number;
  /** The server runs there already: nothing was asked for. */
  readonly already: boolean;
}

async function resolve(store: Store, wanted: string): Promise<NodeRecord> {
  const { entries } = await store.list(vfileKeys.nodes);
  const nodes = entries.flatMap((entry) => parseRecord(nodeRecordSchema, entry)?.value ?? []);
  const found = nodes.filter(({ node, host }) => node === wanted || host === wanted);
  const [one] = found;
  if (one && found.length === 1) return one;
  if (one) throw new VolumeError('invalid', `several nodes are called ${wanted}; name one by its ID`);
  const known = nodes.map(({ host }) => host).sort();
  throw new VolumeError('not_found', `no node ${wanted} is alive; nodes: ${known.join(', ') || 'none'}`);
}

/**
 * Asks the leading manager to serve a volume from another node; a request before it is replaced. The order itself is the
 * leader's, who sees whether a node is fit.
 * @param to host name or ID of a node; without it any other node.
 * @throws VolumeError `not_found` for the volume or the node, `conflict` when the volume is not being served.
 */
export async function askForMove({ store, clock }: MoveParts, name: string, to?: string): Promise<MoveAsked> {
  const { entries } = await store.list(vfileKeys.volume(name));
  const { spec, server, mounts } = readVolume(name, entries);
  if (!spec) throw new VolumeError('not_found', `no such volume: ${name}`);
  if (spec.value.deleting) throw new VolumeError('conflict', `volume ${name} is being removed`);
  if (mounts.length === 0) {
    throw new VolumeError('conflict', `volume ${name} is not in use: there is no file server to move`);
  }
  if (!server) {
    throw new VolumeError(
      'conflict',
      `volume ${name} is not served at the moment; "vfile volume inspect" says why`,
    );
  }
  const target = to === undefined ? undefined : await resolve(store, to);
  const { epoch, host, node } = server.value;
  const asked = { from: host, to: target?.host, epoch };
  if (target?.node === node) return { ...asked, already: true };
  const at = new Date(clock.now()).toISOString();
  const { done } = await store.txn(
    [
      { key: vfileKeys.spec(name), modRevision: spec.modRevision },
      { key: vfileKeys.server(name), is: 'present' },
    ],
    [{ put: vfileKeys.move(name), value: { v: 1, epoch, at, ...(target ? { to: target.node } : {}) } }],
  );
  if (!done) throw new VolumeError('conflict', `volume ${name} changed meanwhile; try again`);
  return { ...asked, already: false };
}

/** Takes a request back; harmless when there is none, and when the server has already been told to stop. */
export async function withdrawMove({ store }: Pick<MoveParts, 'store'>, name: string): Promise<void> {
  await store.txn([], [{ delete: vfileKeys.move(name) }]);
}
