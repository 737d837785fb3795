import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { VolumeError } from '../../../src/lib/errors.ts';

const imageSchema = z.object({ name: z.string(), dockerfile: z.string(), context: z.string() });
const manifestSchema = z.object({
  version: z.string(),
  images: z.array(imageSchema),
  plugins: z.array(z.object({ name: z.string(), config: z.string(), rootfsImage: z.string() })),
});

/** What the product ships: images in the order in which they are built, and plugins made from them. */
export type Manifest = z.infer<typeof manifestSchema>;
/** One image of the manifest. */
export type ManifestImage = z.infer<typeof imageSchema>;

/** Reads `images/manifest.json`; undefined when there is none. */
export function readManifest(repo: string): Manifest | undefined {
  const file = join(repo, 'images/manifest.json');
  if (!existsSync(file)) return undefined;
  const parsed = manifestSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (parsed.success) return parsed.data;
  throw new VolumeError('invalid', `${file}: ${z.prettifyError(parsed.error)}`);
}

/**
 * The images in waves: those of one wave need nothing but earlier waves and can be built at the same time.
 * @param dockerfile Text of an image's Dockerfile.
 */
export function buildWaves(
  images: readonly ManifestImage[],
  dockerfile: (image: ManifestImage) => string,
): ManifestImage[][] {
  const waves: ManifestImage[][] = [];
  const waveOf = new Map<string, number>();
  for (const image of images) {
    const bases = dockerfile(image).match(/^FROM .*$/gm) ?? [];
    const needs = [...waveOf].filter(([name]) => bases.some((line) => line.includes(`${name}:`)));
    const wave = Math.max(-1, ...needs.map(([, at]) => at)) + 1;
    waveOf.set(image.name, wave);
    waves[wave] = [...(waves[wave] ?? []), image];
  }
  return waves;
}
