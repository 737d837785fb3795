import type { Lab } from '../tool/lab.ts';
import { waitFor } from '../tool/wait.ts';

/**
 * Gives the Swarm an order about one of its nodes (`docker node <args> <host>`) through any manager that takes it, and again when
 * it was refused: the engine reads the node, changes it and writes it back, and refuses ("update out of sequence") when the node's
 * own reports changed it in between.
 */
export async function orderNode(lab: Lab, host: string, args: readonly string[]): Promise<void> {
  const managers = [...lab.hostNames.filter((name) => name !== host), host];
  await waitFor(
    async () => {
      const reasons: string[] = [];
      for (const manager of managers) {
        const said = await lab.docker(manager, ['node', ...args, host], { timeoutMs: 20_000 });
        if (said.exitCode === 0) return { done: true, value: undefined };
        reasons.push(`${manager}: ${said.stderr.trim()}`);
      }
      return { done: false, reason: reasons.join('; ') };
    },
    { what: `docker node ${args.join(' ')} ${host}`, timeoutMs: 90_000, everyMs: 1_000 },
  );
}

/** Says whether a node is given tasks: `active`, `pause` (no new ones) or `drain` (none). */
export function setAvailability(lab: Lab, host: string, value: 'active' | 'pause' | 'drain'): Promise<void> {
  return orderNode(lab, host, ['update', '--availability', value]);
}
