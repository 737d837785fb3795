import type { Lab } from './lab.ts';

/** Prints whether this host's member of etcd leads, as that says itself; with the certificates that it has in memory. */
const command = `keys=/proc/$(pgrep -xo etcd)/root/dev/shm/vfile-etcd
curl --silent --insecure --fail --max-time 5 --cert "$keys/node.crt" --key "$keys/node.key" https://127.0.0.1:2379/metrics |
  sed -n 's/^etcd_server_is_leader //p'`;

/** The host from which etcd is led; `undefined` when none says so. */
export async function etcdLeader(lab: Lab): Promise<string | undefined> {
  const answers = await Promise.all(
    lab.hostNames.map(async (host) => ((await lab.sh(host, command)).stdout.trim() === '1' ? [host] : [])),
  );
  return answers.flat()[0];
}
