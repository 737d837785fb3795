import { image, inspect } from '../fixture.ts';
import type { ShellResult } from '../tool/agent.ts';
import type { Lab } from '../tool/lab.ts';
import { waitFor } from '../tool/wait.ts';
import { volumeMount } from './volume-mount.ts';

/** Creates a vDVS volume and says what Docker said. */
export async function createBlock(
  lab: Lab,
  host: string,
  name: string,
  options: Record<string, string> = {},
): Promise<ShellResult> {
  const flags = Object.entries(options).flatMap(([key, value]) => ['--opt', `${key}=${value}`]);
  return await lab.docker(host, ['volume', 'create', '--driver', 'vdvs', ...flags, name]);
}

/** Runs a shell command in a container that has the block volume at `/volume`. */
export async function inBlock(lab: Lab, host: string, volume: string, command: string): Promise<ShellResult> {
  return await lab.docker(host, [
    ...['run', '--rm', '--network', 'none', '--mount', volumeMount(volume, 'vdvs'), image],
    ...['sh', '-c', command],
  ]);
}

/** The administrator's command line, in the service's container on `host`. @throws VolumeError with its own words. */
export async function vdvs(lab: Lab, args: string, host = 'node1'): Promise<string> {
  return await lab.shOk(host, `docker exec $(docker ps -qf name=vfile_vdvs) vdvs ${args}`);
}

/** Waits until `docker volume inspect` shows the volume attached to `holder`, or detached when that is `undefined`. */
export async function reachHolder(
  lab: Lab,
  asker: string,
  volume: string,
  holder: string | undefined,
): Promise<void> {
  await waitFor(
    async () => {
      const status = (await inspect(lab, asker, volume)).Status ?? {};
      const now = status.status === 'attached' ? status['attached to VM'] : undefined;
      return now === holder
        ? { done: true, value: undefined }
        : { done: false, reason: JSON.stringify(status) };
    },
    {
      what: `${volume} to be ${holder ? `attached to ${holder}` : 'detached'}`,
      timeoutMs: 60_000,
      everyMs: 250,
    },
  );
}
