import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { version } from '../../../src/lib/version.ts';

const root = join(import.meta.dirname, '../../..');
const read = (file: string): unknown => JSON.parse(readFileSync(join(root, file), 'utf8'));

it('is the same wherever it is written down', () => {
  expect(read('package.json')).toMatchObject({ version });
  expect(read('images/manifest.json')).toMatchObject({ version });
  for (const plugin of ['vfile', 'vdvs']) {
    expect(read(`plugin-config/${plugin}/config.json`)).toMatchObject({
      env: expect.arrayContaining([expect.objectContaining({ name: 'VFILE_VERSION', value: version })]),
    });
  }
  for (const image of ['base', 'control', 'fileserver', 'plugin-vfile', 'plugin-vdvs']) {
    const text = readFileSync(join(root, 'images', image, 'Dockerfile'), 'utf8');
    const given = [...text.matchAll(/^ARG VERSION=(.*)$/gm)].map((match) => match[1]);
    expect(new Set(given), image).toEqual(new Set([version]));
  }
});
