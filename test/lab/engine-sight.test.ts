import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock as clock } from '../../src/lib/clock.ts';
import { silentLog as log } from '../../src/lib/log.ts';
import { createDockerPlugins } from '../../src/swarm/docker-plugins.ts';
import { image, openLab, removeVolume, whole } from './fixture.ts';
import { volumeMount } from './story/volume-mount.ts';
import type { ShellResult } from './tool/agent.ts';
import { waitFor } from './tool/wait.ts';

const lab = openLab();
const host = 'node2';
const other = 'node3';

/** The host's mount table, and the group of peers of the plugin's propagated mount. */
async function groups(plugin: string): Promise<{ host: string[]; plugin: string | undefined }> {
  const program = `/opt/vfile/${plugin}-plugin.mjs`;
  const said = await lab.shOk(
    host,
    `cut -d' ' -f5,7 /proc/self/mountinfo | sed 's/^/host /'; ` +
      `cut -d' ' -f5,7 /proc/$(pgrep -of ${program})/mountinfo | sed 's/^/plugin /' || true`,
  );
  const lines = said.split('\n').map((line) => line.split(' '));
  return {
    host: lines.flatMap(([where, , group]) => (where === 'host' && group ? [group] : [])),
    plugin: lines.find(([where, at]) => where === 'plugin' && at === `/mnt/${plugin}`)?.[2],
  };
}

/** Whether what the plugin mounts appears on the host; `undefined` while it does not run. */
async function isSeen(plugin: string): Promise<boolean | undefined> {
  const found = await groups(plugin);
  return found.plugin === undefined ? undefined : found.host.includes(found.plugin);
}

/** How often the plugin has said on this host that it starts again because its mounts are not seen. */
async function startedAgain(plugin: string): Promise<number> {
  const id = await lab.dockerOk(host, ['plugin', 'inspect', '--format', '{{.Id}}', plugin]);
  const lines = (await readFile(join(lab.host(host).log, 'engine.log'), 'utf8')).split('\n');
  const said = lines.filter((line) => line.includes('starting again') && line.includes(`plugin=${id}`));
  return said.length;
}

/**
 * Enables the plugin while its propagated mount is taken away again and again, as an engine does that is still cleaning up
 * after having disabled it. What that does to the plugin depends on the moment: until it has happened. Nobody else enables it
 * meanwhile: of two starts at once, the engine takes each for the end of the other. The time that it gives each call from then
 * on is the installer's.
 */
async function loseSight(plugin: string): Promise<void> {
  const before = await startedAgain(plugin);
  // Not what finds this script.
  const program = plugin.replace(/^./, '[$&]').concat('-plugin.mjs');
  await waitFor(
    async () => {
      await lab.shOk(
        host,
        `
        mount=/var/lib/docker/plugins/$(docker plugin inspect -f '{{.Id}}' ${plugin})/propagated-mount
        installer=$(docker ps -q --filter label=com.docker.swarm.service.name=vfile_plugins)
        docker pause $installer >/dev/null
        trap 'docker unpause $installer >/dev/null' EXIT
        docker plugin disable -f ${plugin}
        while grep -q $mount /proc/self/mountinfo || pgrep -f '${program}' >/dev/null; do sleep 0.2; done
        docker plugin enable --timeout 150 ${plugin} & enabling=$!
        while kill -0 $enabling 2>/dev/null && ! pgrep -f '${program}' >/dev/null
        do umount -l $mount 2>/dev/null || true; done
        wait $enabling || true`,
        { timeoutMs: 60_000 },
      );
      // It says so at its start, or as the engine says that it sees nothing.
      for (const end = clock.now() + 10_000; clock.now() < end; await clock.sleep(200)) {
        if ((await startedAgain(plugin)) > before) return { done: true, value: undefined };
      }
      return { done: false, reason: 'it has not said so' };
    },
    { what: `the engine to lose sight of ${plugin}`, timeoutMs: 120_000 },
  );
}

/** Runs a shell command in a container on a host that has the volume at `/volume`. */
function use(on: string, plugin: 'vfile' | 'vdvs', volume: string, command: string): Promise<ShellResult> {
  const mount = ['--mount', volumeMount(volume, plugin)];
  return lab.docker(on, ['run', '--rm', '--network', 'none', ...mount, image, 'sh', '-c', command]);
}

beforeEach(() => whole(lab));
afterEach(() => whole(lab));

describe('an engine that does not see what a plugin mounts', () => {
  it.each([
    ['a shared volume', 'vfile', 'unseen'],
    ['a block volume', 'vdvs', 'unseen-block'],
  ] as const)(
    'gives no container an empty directory for %s, and sees it again by itself',
    async (_what, plugin, volume) => {
      await lab.dockerOk(other, ['volume', 'create', '--driver', plugin, volume]);
      await use(other, plugin, volume, 'echo there > /volume/file');
      await loseSight(plugin);
      const said = await waitFor(
        async () => {
          const command = 'echo more >> /volume/file && cat /volume/file';
          const { exitCode, stdout, stderr } = await use(host, plugin, volume, command);
          return exitCode === 0 ? { done: true, value: stdout } : { done: false, reason: stderr };
        },
        { what: 'a container with the volume', timeoutMs: 90_000 },
      );
      expect(said).toBe('there\nmore\n');
      expect((await use(other, plugin, volume, 'cat /volume/file')).stdout).toBe('there\nmore\n');
      expect(await isSeen(plugin)).toBe(true);
      await removeVolume(lab, other, volume);
    },
  );

  it('is asked in a way that tells, and makes no container', async () => {
    const engine = createDockerPlugins({ socketPath: lab.host(host).dockerSocket, clock, log });
    const before = await lab.dockerOk(host, ['ps', '--all', '--quiet']);
    expect(await engine.seesDirectory(await engine.dataRoot())).toBe(true);
    expect(await engine.seesDirectory('/nowhere/at/all')).toBe(false);
    expect(await lab.dockerOk(host, ['ps', '--all', '--quiet'])).toBe(before);
  });
});
