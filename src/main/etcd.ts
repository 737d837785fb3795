import { readMemberSettings } from '../etcd/member/settings.ts';
import { superviseMember } from '../etcd/member/supervisor.ts';
import { systemClock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import { run } from '../lib/exec.ts';
import { endIfLoadOnly } from '../lib/load-only.ts';
import { createLog } from '../lib/log.ts';
import { createSwarmCertificates } from '../lib/swarm-certificates.ts';
import { createDockerSwarm } from '../swarm/docker-swarm.ts';

/** One etcd member on each manager of the Swarm: `node etcd.mjs`, configured by its environment. */
async function main(): Promise<void> {
  endIfLoadOnly();
  const settings = readMemberSettings(process.env);
  const { level } = settings;
  const log = createLog({ level, process: 'etcd', maxSizeMb: 10, maxFiles: 5, maxAgeDays: 28 });
  const stop = new AbortController();
  // A listener that stays: without one, a library that watches its child processes would end this process at once.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  const clock = systemClock;
  const identity = createSwarmCertificates({ directory: settings.certificates, clock, log });
  const swarm = createDockerSwarm({ socketPath: settings.dockerSocket, log });
  try {
    await superviseMember({ settings, identity, swarm, clock, log, run }, stop.signal);
  } finally {
    identity.stop();
  }
}

main().catch((thrown: unknown) => {
  process.stderr.write(`etcd: ${toVolumeError(thrown).message}\n`);
  process.exitCode = 1;
});
