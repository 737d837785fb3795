import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../src/lib/exec.ts';
import type { DiskContent } from './base-disk.ts';
import type { Builder } from './builder.ts';
import { fingerprintFiles } from './fingerprint.ts';
import { buildWaves, type Manifest, type ManifestImage, readManifest } from './manifest.ts';
import type { LabPaths } from './paths.ts';
import { createPlugins } from './plugins.ts';

/** All that the Dockerfiles can see, and what else decides how images and plugins come out. */
const sources = ['images', 'plugin-config', 'dist', '.dockerignore'];

/**
 * What the product puts on the hosts' disks, its images and its plugins; undefined while there is no manifest.
 * Bundles the code first, so that what is built is what the working tree says.
 */
export async function productContent(
  paths: LabPaths,
  say: (text: string) => void,
  signal?: AbortSignal,
): Promise<DiskContent | undefined> {
  const manifest = readManifest(paths.repo);
  if (manifest === undefined) {
    say('there is no images/manifest.json: no images');
    return undefined;
  }
  await run(process.execPath, [join(paths.repo, 'images/fetch-node.mjs')], {
    timeoutMs: 300_000,
    ...(signal ? { signal } : {}),
  });
  say('npm run build');
  await run(process.execPath, [join(paths.repo, 'build.mjs')], {
    timeoutMs: 60_000,
    ...(signal ? { signal } : {}),
  });
  const stage = join(paths.dir, 'stage');
  return {
    key: fingerprintFiles(paths.repo, sources),
    fill: async (builder, tell) => {
      try {
        await buildImages(paths.repo, manifest, builder, tell);
        await createPlugins(paths, manifest, builder, stage, tell);
        // What earlier builds left behind, so that the disk that is copied stays small.
        await builder.docker(['image', 'prune', '-f'], 60_000);
      } finally {
        await rm(stage, { recursive: true, force: true });
      }
    },
  };
}

async function buildImages(repo: string, manifest: Manifest, builder: Builder, say: (text: string) => void) {
  const waves = buildWaves(manifest.images, (image) => readFileSync(join(repo, image.dockerfile), 'utf8'));
  for (const wave of waves) {
    await Promise.all(
      wave.map(async (image) => {
        const began = performance.now();
        await buildImage(repo, image, manifest.version, builder);
        say(`built ${image.name} in ${((performance.now() - began) / 1000).toFixed(1)} s`);
      }),
    );
  }
}

/** The Dockerfile as it is; `--network host` because the building engine has no network of its own. */
async function buildImage(
  repo: string,
  image: ManifestImage,
  version: string,
  builder: Builder,
): Promise<void> {
  const args = ['build', '--network', 'host', '--rm', '--force-rm', '--build-arg', `VERSION=${version}`];
  const names = ['-t', `${image.name}:${version}`, '-f', join(repo, image.dockerfile)];
  await builder.docker([...args, ...names, join(repo, image.context)], 600_000);
}
