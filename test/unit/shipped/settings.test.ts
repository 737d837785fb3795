import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

const root = join(import.meta.dirname, '../../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** What lies where inside the plugins' own file systems: nothing that a user could change alone. */
const insides = new Set([
  ...['VFILE_MOUNT_ROOT', 'VFILE_PLUGIN_SOCKET', 'VFILE_SYSFS'],
  ...['VDVS_MOUNT_ROOT', 'VDVS_PLUGIN_SOCKET'],
  // For tests only.
  'VDVS_FAIL_AT',
  // These are the vDVS service's, which shares a file with the plugin.
  ...['VDVS_LISTEN', 'VDVS_TAKEOVER_MARGIN_MS'],
]);

/** Names of the environment's settings that source files read. */
function settingsIn(files: readonly string[]): Set<string> {
  const found = files.flatMap((file) => [...read(file).matchAll(/^\s+(V(?:FILE|DVS)_[A-Z0-9_]+):/gm)]);
  return new Set(found.map((match) => match[1] ?? '').filter((name) => !insides.has(name)));
}
const allSource = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => read(join('src', file)))
  .join('\n');

const pluginSchema = z.object({
  env: z.array(z.object({ name: z.string(), value: z.string(), settable: z.array(z.string()).optional() })),
});
const plugin = (name: string) =>
  pluginSchema.parse(JSON.parse(read(`plugin-config/${name}/config.json`))).env;
const stackText = read('swarm-stack.yml');
const stack = z
  .object({ services: z.record(z.string(), z.object({ environment: z.record(z.string(), z.string()) })) })
  .parse(parse(stackText, { merge: true }));

/** What a plugin's configuration sets for good. */
const fixed = ['VFILE_VERSION', 'NODE_COMPILE_CACHE'];

describe('the configuration of the managed plugins', () => {
  it.each([
    ['vfile', ['src/vfile/settings.ts', 'src/vfile/node/node-settings.ts']],
    ['vdvs', ['src/vdvs/settings.ts']],
  ])(
    '%s has every setting that its product reads, settable and with the default of the code',
    (name, files) => {
      const variables = plugin(name).filter((variable) => !fixed.includes(variable.name));
      for (const variable of variables) {
        expect(variable).toMatchObject({ value: '', settable: ['value'] });
      }
      expect(new Set(variables.map((variable) => variable.name))).toEqual(settingsIn(files));
    },
  );
});

describe('the stack file', () => {
  it('names only settings that some program reads', () => {
    const names = Object.values(stack.services).flatMap((service) => Object.keys(service.environment));
    expect([...new Set(names)].filter((name) => !allSource.includes(name))).toEqual([]);
  });

  it('hands every setting of the plugins to the installer, except what names their own insides', () => {
    const inside = [
      ...fixed,
      'VFILE_CERTIFICATES',
      'VFILE_CERTIFICATES_HOST_PATH',
      'VFILE_DOCKER_SOCKET',
      'VFILE_MANAGERS',
      'VDVS_STATE',
      // The manager's business; a plugin shares the set of settings only.
      'VFILE_FILESERVER_IMAGE',
      'VFILE_FILESERVER_CAPABILITIES',
    ];
    const given = Object.keys(stack.services.plugins?.environment ?? {});
    const wanted = [...plugin('vfile'), ...plugin('vdvs')].map((variable) => variable.name);
    expect(wanted.filter((name) => !given.includes(name) && !inside.includes(name))).toEqual([]);
  });

  it('nests no variables, which the Docker client cannot read', () => {
    expect(stackText).not.toMatch(/\$\{[^}]*\$\{/);
  });
});
