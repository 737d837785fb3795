import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { Lab } from './lab.ts';

const files: Readonly<Record<string, string>> = {
  console: 'console.log',
  launch: 'launch.log',
  engine: 'engine.log',
  containerd: 'containerd.log',
  agent: 'agent.log',
};

/**
 * Writes a log of a host: one of the files above, which can be read whatever state the host is in; `plugin`, the
 * engine's lines that come from managed plugins; or a service by its name, asked from the host's engine.
 */
export async function showLogs(lab: Lab, name: string, what: string): Promise<void> {
  const host = lab.host(name);
  const file = files[what === 'plugin' || what === 'plugins' ? 'engine' : what];
  if (file === undefined) {
    process.stdout.write(await serviceLog(lab, name, what));
    return;
  }
  const path = join(host.log, file);
  if (!existsSync(path))
    throw new VolumeError('not_found', `${path} does not exist: ${name} has not been started`);
  const text = await readFile(path, 'utf8');
  const plugin = (line: string) => / plugin=[0-9a-f]{8}/.test(line);
  process.stdout.write(
    file === 'engine.log' && what !== 'engine' ? `${text.split('\n').filter(plugin).join('\n')}\n` : text,
  );
}

async function serviceLog(lab: Lab, name: string, service: string): Promise<string> {
  const args = ['service', 'logs', '--timestamps', '--no-trunc', service];
  const result = await lab.docker(name, args, { timeoutMs: 60_000 });
  if (result.exitCode === 0) return result.stdout + result.stderr;
  const known = Object.keys(files).concat('plugin').join(', ');
  throw new VolumeError(
    'not_found',
    `${name} has no log "${service}" (${known}, or a service): ${result.stderr.trim()}`,
  );
}
