import { execa } from 'execa';
import type { Lab } from '../tool/lab.ts';

const starts = 50;
/** Prints the µs that it takes to start so many programs, one after the other. */
const command = `began=$(date +%s%N); for i in $(seq ${starts}); do /bin/true; done; echo $((($(date +%s%N) - began) / 1000))`;

/**
 * What the start of a program costs, ms: on each host of the lab, and on this machine. Most of a failover is such starts,
 * and both differ between machines, and on one machine between days: figures of different runs are to be seen beside these.
 */
export async function programStarts(lab: Lab): Promise<{ readonly hosts: number[]; readonly here: number }> {
  const each = (text: string): number => Number(text) / 1_000 / starts;
  const hosts: number[] = [];
  for (const host of lab.hostNames) hosts.push(each(await lab.shOk(host, command)));
  return { hosts, here: each((await execa('bash', ['-c', command])).stdout) };
}
