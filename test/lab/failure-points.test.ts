import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureFiles } from '../../src/lib/failure-point.ts';
import { openLab, removeVolume, whole } from './fixture.ts';
import { createBlock, inBlock, reachHolder } from './story/block.ts';
import { nothingLeftBehind } from './story/left-behind.ts';
import { waitFor } from './tool/wait.ts';

const lab = openLab();

beforeEach(() => whole(lab));

/** Where a process in a container finds the file that names its failure point, in the host's tree. */
const inPlugin = `/var/lib/docker/plugins/$(docker plugin inspect -f '{{.Id}}' vdvs)/rootfs${failureFiles.plugin}`;
const inServices = `/proc/$(docker inspect -f '{{.State.Pid}}' $(docker ps -qf name=vfile_vdvs))/root${failureFiles.service}`;

/** The processes of these hosts to which `file` belongs die when they come to this point, each once. */
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

const write = (host: string, volume: string, text: string) =>
  inBlock(lab, host, volume, `echo ${text} > /volume/data && sync`);

/** The data is there on another host, then the volume goes. */
async function expectGoodEnd(reader: string, volume: string, text: string): Promise<void> {
  const { stdout, stderr } = await inBlock(lab, reader, volume, 'cat /volume/data');
  expect(stdout.trim(), stderr).toBe(text);
  await reachHolder(lab, reader, volume, undefined);
  await removeVolume(lab, reader, volume);
}

describe('under Docker’s engine, a process that dies on the way is made up for', () => {
  afterEach(() => Promise.all(lab.hostNames.map((host) => lab.sh(host, `rm -f ${inPlugin}`))));

  it.each([
    'attach.granted, attach.opened, format.made',
    'mount.formatted, mount.mounted, unmount.unmounted',
    'detach.closed, detach.done',
  ])('plugins, at %s', async (points) => {
    const hosts = lab.hostNames;
    const struck = points.split(', ').map((point, at) => {
      const [host = '', other = ''] = [hosts[at], hosts[(at + 1) % hosts.length]];
      return { host, point, volume: `dying-${host}`, other };
    });
    await Promise.all(
      struck.map(async ({ host, point, volume, other }) => {
        await untilDone('creation', () => createBlock(lab, other, volume));
        await arm([host], inPlugin, point);
      }),
    );
    await Promise.all(
      struck.map(async ({ host, point, volume }) => {
        const first = write(host, volume, point);
        await waitFor(
          async () =>
            (await armed([host], inPlugin)) === 0
              ? { done: true, value: undefined }
              : { done: false, reason: 'it lives' },
          { what: `the plugin to die at ${point}`, timeoutMs: 90_000, everyMs: 200 },
        );
        await first;
        await untilDone('the next container', () => write(host, volume, `${point}-again`));
      }),
    );
    await whole(lab);
    await Promise.all(
      struck.map(({ point, volume, other }) => expectGoodEnd(other, volume, `${point}-again`)),
    );
    await nothingLeftBehind(lab, 60_000);
  });

  it.each([
    ['create.recorded', 'remove.marked'],
    ['create.made', 'remove.deleted'],
  ])('services, at %s and %s', async (atCreate, atRemove) => {
    const [managers, volume] = [lab.hostNames, 'dying'];
    await arm(managers, inServices, atCreate);
    await untilDone('creation', () => createBlock(lab, 'node3', volume));
    expect(await armed(managers, inServices)).toBeLessThan(managers.length);
    await whole(lab);
    await untilDone('a container', () => write('node3', volume, atCreate));
    await arm(managers, inServices, atRemove);
    await untilDone('removal', () => lab.docker('node3', ['volume', 'rm', '-f', volume]));
    expect(await armed(managers, inServices)).toBeLessThan(managers.length);
    await whole(lab);
    // What was begun is complete or gone, and never in the way of the next user.
    await untilDone('creation', () => createBlock(lab, 'node1', volume, { size: '150mb' }));
    await untilDone('a container', () => write('node2', volume, atRemove));
    await expectGoodEnd('node1', volume, atRemove);
    await nothingLeftBehind(lab, 60_000);
  });
});
