import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import { hostPort } from '../../lib/host-port.ts';
import type { Log } from '../../lib/log.ts';
import type { Swarm } from '../../swarm/swarm.ts';

/**
 * Where etcd is, as the local engine tells: this manager's own member first, then the others. While the engine does not
 * answer, what it said last.
 */
export function managerEndpoints(options: {
  readonly swarm: Pick<Swarm, 'local'>;
  readonly port: number;
  readonly log: Log;
}): () => Promise<readonly string[]> {
  const { swarm, port, log } = options;
  const last: { endpoints: readonly string[] } = { endpoints: [] };
  return async () => {
    try {
      const { address, managers } = await swarm.local();
      const all = managers.map((manager) => manager.address);
      const ordered = [...all.filter((one) => one === address), ...all.filter((one) => one !== address)];
      last.endpoints = (ordered.length > 0 ? ordered : [address]).map((one) => hostPort(one, port));
    } catch (thrown) {
      const { message } = toVolumeError(thrown);
      if (last.endpoints.length === 0) throw new VolumeError('unavailable', message, { cause: thrown });
      log.debug('the engine does not say who the managers are', { why: message });
    }
    return last.endpoints;
  };
}
