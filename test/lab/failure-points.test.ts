import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureFile } from '../../src/lib/failure-point.ts';
import { openLab, removeVolume, whole } from './fixture.ts';
import { createBlock, inBlock, reachHolder } from './story/block.ts';
import { leftBehind } from './story/left-behind.ts';
import { waitFor } from './tool/wait.ts';

const lab = openLab();
const volume = 'dying';

beforeEach(() => whole(lab));

/** Where a process in a container finds the file that names its failure point, in the host's tree. */
const inPlugin = `/var/lib/docker/plugins/$(docker plugin inspect -f '{{.Id}}' vdvs)/rootfs${failureFile}`;
const inServices = `/proc/$(docker inspect -f '{{.State.Pid}}' $(docker ps -qf name=vfile_vdvs))/root${failureFile}`;

/** The plugin of node3 or the services of all managers die when they come to this point, each once. */
async function arm(hosts: readonly string[], file: string, point: string): Promise<void> {
  await Promise.all(
    hosts.map((host) => lab.shOk(host, `file=${file} && mkdir -p $(dirname $file) && echo ${point} > $file`)),
  );
}

/** On how many of these hosts it has not died yet. A process that was started again has no such file. */
async function armed(hosts: readonly string[], file: string): Promise<number> {
  const found = await Promise.all(
    hosts.map(async (host) => (await lab.sh(host, `test -e ${file}`)).exitCode === 0),
  );
  return found.filter(Boolean).length;
}

/** Does it again until it succeeds: the engine may or may not ask again by itself when the plugin dies while it is asked. */
async function untilDone(what: string, act: () => Promise<{ exitCode: number; stderr: string }>) {
  await waitFor(
    async () => {
      const { exitCode, stderr } = await act();
      return exitCode === 0 ? { done: true, value: undefined } : { done: false, reason: stderr.trim() };
    },
    { what, timeoutMs: 90_000, everyMs: 500 },
  );
}

const write = (host: string, text: string) =>
  inBlock(lab, host, volume, `echo ${text} > /volume/data && sync`);

/** The data is there on another host, then the volume goes and leaves nothing. */
async function expectCleanEnd(text: string | undefined): Promise<void> {
  await whole(lab);
  if (text !== undefined) {
    const { stdout, stderr } = await inBlock(lab, 'node1', volume, 'cat /volume/data');
    expect(stdout.trim(), stderr).toBe(text);
  }
  await reachHolder(lab, 'node1', volume, undefined);
  await removeVolume(lab, 'node1', volume);
  await waitFor(
    async () => {
      const left = await leftBehind(lab);
      return left.length === 0 ? { done: true, value: undefined } : { done: false, reason: left.join('; ') };
    },
    { what: 'nothing to be left behind', timeoutMs: 60_000, everyMs: 500 },
  );
}

describe('under Docker’s engine, a process that dies on the way is made up for', () => {
  afterEach(() => lab.sh('node3', `rm -f ${inPlugin}`));

  it.each([
    ...['attach.granted', 'attach.opened', 'format.made', 'mount.formatted', 'mount.mounted'],
    ...['unmount.unmounted', 'detach.closed', 'detach.done'],
  ])('the plugin, at %s', async (point) => {
    await untilDone('creation', () => createBlock(lab, 'node1', volume));
    await arm(['node3'], inPlugin, point);
    const first = write('node3', point);
    await waitFor(
      async () =>
        (await armed(['node3'], inPlugin)) === 0
          ? { done: true, value: undefined }
          : { done: false, reason: 'it lives' },
      { what: `the plugin to die at ${point}`, timeoutMs: 60_000, everyMs: 200 },
    );
    await first;
    await untilDone('the next container', () => write('node3', `${point}-again`));
    await expectCleanEnd(`${point}-again`);
  });

  it.each(['create.recorded', 'create.made', 'remove.marked', 'remove.deleted'])(
    'the services, at %s',
    async (point) => {
      const managers = lab.hostNames;
      const creates = point.startsWith('create');
      if (!creates) await untilDone('creation', () => createBlock(lab, 'node3', volume));
      await arm(managers, inServices, point);
      if (creates) await untilDone('creation', () => createBlock(lab, 'node3', volume));
      else await untilDone('removal', () => lab.docker('node3', ['volume', 'rm', '-f', volume]));
      expect(await armed(managers, inServices)).toBeLessThan(managers.length);
      await whole(lab);
      // What was begun is complete or gone, and never in the way of the next user.
      await untilDone('creation', () => createBlock(lab, 'node1', volume));
      await untilDone('a container', () => write('node3', point));
      await expectCleanEnd(point);
    },
  );
});
