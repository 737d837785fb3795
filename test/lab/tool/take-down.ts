import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Host } from './host.ts';
import { hostSpecs, mostHosts } from './host-spec.ts';
import type { Lab } from './lab.ts';

/**
 * Stops every host, then removes the network, the sockets, the disks and the datastores. Logs stay until the next
 * `up`. Needs no state file, so it clears a damaged lab too.
 */
export async function takeDown(lab: Lab, purge: boolean): Promise<void> {
  const { paths } = lab;
  const names = existsSync(paths.hosts) ? readdirSync(paths.hosts) : [];
  const all = hostSpecs(paths, mostHosts).filter((host) => names.includes(host.name));
  await Promise.all(all.map((spec) => new Host(paths, spec, all).kill()));
  await lab.network.remove();
  for (const dir of [paths.hosts, paths.sockets, paths.datastores, paths.base, paths.state]) {
    await rm(dir, { recursive: true, force: true });
  }
  await rm(join(paths.dir, 'builder'), { recursive: true, force: true });
  if (!purge) return;
  await rm(paths.cache, { recursive: true, force: true });
  await rm(paths.logs, { recursive: true, force: true });
}
