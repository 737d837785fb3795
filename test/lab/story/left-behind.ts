import { readdir } from 'node:fs/promises';
import type { Lab } from '../tool/lab.ts';
import { waitFor } from '../tool/wait.ts';

/** What a removed volume could have left on the hosts, in words; empty when there is nothing. */
export async function leftBehind(lab: Lab): Promise<string[]> {
  const found = await Promise.all(lab.hostNames.map((host) => onHost(lab, host)));
  const disks = await readdir(lab.paths.datastores, { recursive: true, withFileTypes: true });
  const images = disks.filter((entry) => entry.isFile() && !entry.name.startsWith('.'));
  return [...found.flat(), ...images.map((entry) => `disk image ${entry.name} in a datastore`)];
}

/** Waits until nothing is left behind. @throws VolumeError `timeout` naming what is, after `timeoutMs`. */
export async function nothingLeftBehind(lab: Lab, timeoutMs: number): Promise<void> {
  await waitFor(
    async () => {
      const left = await leftBehind(lab);
      return left.length === 0 ? { done: true, value: undefined } : { done: false, reason: left.join('; ') };
    },
    { what: 'nothing to be left behind', timeoutMs, everyMs: 500 },
  );
}

async function onHost(lab: Lab, host: string): Promise<string[]> {
  const ask = async (what: string, said: Promise<string>): Promise<string[]> =>
    (await said)
      .split('\n')
      .filter(Boolean)
      .map((line) => `${host}: ${what} ${line}`);
  const found = await Promise.all([
    ask('volume', lab.dockerOk(host, ['volume', 'ls', '-q', '--filter', 'driver=vfile:latest'])),
    ask('volume', lab.dockerOk(host, ['volume', 'ls', '-q', '--filter', 'driver=vdvs:latest'])),
    ask('service', lab.dockerOk(host, ['service', 'ls', '-q', '--filter', 'label=org.vfile.volume'])),
    ask('mount', lab.shOk(host, "awk '$3 ~ /^nfs/ || $1 ~ /^.dev.loop/ { print $2 }' /proc/mounts")),
    ask('loop device', lab.shOk(host, 'losetup --noheadings --output NAME,BACK-FILE --list')),
  ]);
  return found.flat();
}
