import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createPluginKeeper } from '../installer/keep-plugin.ts';
import { runInstaller } from '../installer/run-installer.ts';
import { readInstallerSettings } from '../installer/settings.ts';
import { systemClock } from '../lib/clock.ts';
import { toVolumeError } from '../lib/errors.ts';
import { endIfLoadOnly } from '../lib/load-only.ts';
import { createLog } from '../lib/log.ts';
import { followStopOrder } from '../lib/stop-order.ts';
import { createDockerPlugins } from '../swarm/docker-plugins.ts';
import { createDockerSwarm } from '../swarm/docker-swarm.ts';

/** Installs, configures, enables and upgrades the managed plugins on this node. */
async function main(): Promise<void> {
  endIfLoadOnly();
  const settings = readInstallerSettings(process.env);
  const log = createLog({
    level: settings.logLevel,
    process: 'installer',
    maxSizeMb: 10,
    maxFiles: 5,
    maxAgeDays: 28,
  });
  const clock = systemClock;
  const socketPath = settings.dockerSocket;
  const plugins = createDockerPlugins({ socketPath, clock, log });
  const containers = createDockerSwarm({ socketPath, log });
  const stop = followStopOrder(clock);

  // A mount of a plugin whose source is missing on the host keeps the plugin from starting.
  const folder = join(settings.hostVarLib, 'vdvs/datastores');
  const prepareHost = async (): Promise<void> => {
    await mkdir(folder, { recursive: true }).catch((error: unknown) =>
      log.warn(`cannot make ${folder}: ${toVolumeError(error).message}`),
    );
  };
  const keepers = settings
    .wishes(await plugins.dataRoot())
    .map((wish) => createPluginKeeper({ wish, plugins, containers, clock, log }));
  await runInstaller({ keepers, prepareHost, watch: plugins.watch, clock }, stop.given);
  await stop.due;
}

main().catch((thrown: unknown) => {
  console.error(toVolumeError(thrown).message);
  process.exitCode = 1;
});
