import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../src/lib/exec.ts';
import type { Builder } from './builder.ts';
import { fingerprint } from './fingerprint.ts';
import type { Manifest } from './manifest.ts';
import type { LabPaths } from './paths.ts';

/**
 * Creates the managed plugins on the builder's disk, each from its image's file system and its configuration. One
 * that was made from the same before is left alone: a tag of its image, on the same disk, says from what it was made.
 * @param stage A folder for the file systems while they are on their way.
 */
export async function createPlugins(
  paths: LabPaths,
  manifest: Manifest,
  builder: Builder,
  stage: string,
  say: (text: string) => void,
): Promise<void> {
  const present = await installed(builder);
  const create = async (plugin: Manifest['plugins'][number]) => {
    const image = `${plugin.rootfsImage}:${manifest.version}`;
    const config = join(paths.repo, plugin.config);
    const imageId = (await builder.docker(['image', 'inspect', '-f', '{{.Id}}', image], 30_000)).trim();
    const made = fingerprint(imageId, readFileSync(config));
    const markers = `lab/plugin-${plugin.name.replace(/[^a-z0-9]/g, '-')}`;
    if (present.has(plugin.name) && (await builder.docker(['images', '-q', `${markers}:${made}`], 30_000)))
      return;
    const began = performance.now();
    const old = await builder.docker(['images', '--format', '{{.Repository}}:{{.Tag}}', markers], 30_000);
    for (const tag of old.split('\n').filter(Boolean)) await builder.docker(['rmi', tag], 30_000);
    if (present.has(plugin.name)) await builder.docker(['plugin', 'rm', '-f', plugin.name], 60_000);
    await createOne(builder, { name: plugin.name, image, config, dir: join(stage, made) });
    await builder.docker(['tag', image, `${markers}:${made}`], 30_000);
    say(`made plugin ${plugin.name} in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  };
  await Promise.all(manifest.plugins.map(create));
}

async function installed(builder: Builder): Promise<ReadonlySet<string>> {
  const names = await builder.docker(['plugin', 'ls', '--format', '{{.Name}}'], 30_000);
  return new Set(names.split('\n').filter(Boolean));
}

/**
 * The engine compresses and hashes a plugin's whole file system, which takes most of the time of a build. So it gets
 * the configuration with an almost empty one, and the real content is put where the engine has unpacked that.
 */
async function createOne(
  builder: Builder,
  plugin: { name: string; image: string; config: string; dir: string },
): Promise<void> {
  const { dir } = plugin;
  await rm(dir, { recursive: true, force: true });
  await mkdir(join(dir, 'rootfs/run/docker/plugins'), { recursive: true });
  // Two plugins, or two builds of one, must not come out as the same layer: the engine refuses what it has.
  await writeFile(join(dir, 'rootfs/.lab-layer'), `${plugin.name} ${randomUUID()}\n`);
  await copyFile(plugin.config, join(dir, 'config.json'));
  await builder.docker(['plugin', 'create', plugin.name, dir], 180_000);
  const id = (await builder.docker(['plugin', 'inspect', '-f', '{{.Id}}', plugin.name], 30_000)).trim();
  const container = (await builder.docker(['create', plugin.image, 'none'], 30_000)).trim();
  try {
    const archive = join(dir, 'rootfs.tar');
    await builder.docker(['export', '-o', archive, container], 120_000);
    const rootfs = builder.path(`/var/lib/docker/plugins/${id}/rootfs`);
    await run('tar', ['-C', rootfs, '--numeric-owner', '--xattrs', '--xattrs-include=*', '-xpf', archive], {
      timeoutMs: 120_000,
    });
    await rm(archive);
  } finally {
    await builder.docker(['rm', container], 30_000);
  }
}
