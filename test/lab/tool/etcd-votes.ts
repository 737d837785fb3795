import { z } from 'zod';
import type { Lab } from './lab.ts';
import type { Look } from './wait.ts';

const statusSchema = z.object({
  etcd: z.object({
    members: z.array(
      z.object({ host: z.string().optional(), node: z.string(), votes: z.boolean(), answers: z.boolean() }),
    ),
    problem: z.string().optional(),
  }),
});

/**
 * Whether etcd has a voting member that answers on each of `hosts` and no other. A member that has no vote yet or does not run
 * replaces nobody: the loss of another host may then be the loss of the quorum.
 */
export async function etcdVotes(lab: Lab, hosts: readonly string[]): Promise<Look<void>> {
  const [asked] = hosts;
  if (asked === undefined) throw new Error('a Swarm has a manager');
  const { exitCode, stdout, stderr } = await lab.sh(
    asked,
    'docker exec $(docker ps -qf name=vfile_manager) vfile status --json',
    { timeoutMs: 20_000 },
  );
  if (exitCode !== 0) return { done: false, reason: `vfile status: ${stderr.trim()}` };
  const { members, problem } = statusSchema.parse(JSON.parse(stdout)).etcd;
  const voters = members
    .filter(({ votes, answers }) => votes && answers)
    .map(({ host, node }) => host ?? node);
  if (members.length === hosts.length && hosts.every((host) => voters.includes(host))) {
    return { done: true, value: undefined };
  }
  return { done: false, reason: `etcd: ${problem ?? `votes of ${voters.join(', ')}`}` };
}
