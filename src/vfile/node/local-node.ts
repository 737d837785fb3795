import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import { hostPort } from '../../lib/host-port.ts';
import type { Log } from '../../lib/log.ts';
import type { Swarm } from '../../swarm/swarm.ts';
import type { NodeState } from './node-state.ts';
import type { ThisNode } from './own-record.ts';

/** What this node is called and where the managers are; remembered, since the engine's API comes up after its plugins. */
export interface LocalNodeSource {
  /** The node as last known. Waits only for an engine that has never told. @throws when aborted. */
  known(): Promise<ThisNode>;
  /** The same without waiting; call only after `known`. */
  current(): ThisNode;
  /** Addresses of the managers' etcd members, `host:port`, this node's own first. */
  endpoints(): Promise<readonly string[]>;
}

/** How long an answer of the engine is good for, ms. */
const freshMs = 60_000;
const retryMs = 500;

/** Asks the engine, and remembers. */
export function createLocalNodeSource(parts: {
  swarm: Pick<Swarm, 'local'>;
  state: NodeState;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  etcdPort: number;
  setWaitingFor: (reason: string) => void;
}): LocalNodeSource {
  const { swarm, state, clock, log, signal, etcdPort, setWaitingFor } = parts;
  let askedAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | undefined;

  const ask = async (): Promise<void> => {
    const { nodeId, address, hostname, managers } = await swarm.local();
    // An engine that has only just started does not know its Swarm yet.
    if (nodeId === '' || address === '' || managers.length === 0) {
      throw new VolumeError('unavailable', 'the engine is not in a Swarm, or not yet');
    }
    askedAt = clock.monotonic();
    const told = {
      node: { nodeId, address, hostname },
      managers: managers.map((manager) => manager.address).sort(),
    };
    const { node, managers: before } = state.memory;
    if (JSON.stringify(told) !== JSON.stringify({ node, managers: before })) state.update(told);
  };

  /** Asks unless that was done lately; what is remembered stays when it fails. */
  const refresh = async (): Promise<void> => {
    if (clock.monotonic() - askedAt < freshMs) return;
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    await asking;
  };

  /**
   * Who knows already does not wait: an engine that starts takes calls and answers none of them, until its plugins have
   * answered those that it makes itself for containers that come up with it.
   */
  const refreshed = async (known: boolean): Promise<void> => {
    const asked = refresh();
    if (!known) return await asked;
    asked.catch((thrown) => log.debug('as last known', { error: toVolumeError(thrown).message }));
  };

  const current = (): ThisNode => {
    const { node } = state.memory;
    if (!node) throw new Error('the node is not known yet');
    return node;
  };

  return {
    current,
    async known() {
      for (;;) {
        try {
          await refreshed(state.memory.node !== undefined);
          return current();
        } catch (thrown) {
          const error = toVolumeError(thrown).message;
          setWaitingFor(`the engine to tell this node's address (${error})`);
          log.debug('the engine does not answer yet', { error });
        }
        await clock.sleep(retryMs, signal);
      }
    },
    async endpoints() {
      await refreshed(state.memory.managers.length > 0).catch((thrown) =>
        log.debug('no managers are known yet', { error: toVolumeError(thrown).message }),
      );
      const { node, managers } = state.memory;
      const own = managers.filter((address) => address === node?.address);
      const others = managers.filter((address) => address !== node?.address);
      return [...own, ...others].map((host) => hostPort(host, etcdPort));
    },
  };
}
