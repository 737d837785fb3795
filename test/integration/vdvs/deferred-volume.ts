import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { type MountEntry, mountAt, parseMountinfo } from '../../../src/lib/mountinfo.ts';
import { placeholderFile } from '../../../src/vdvs/node/placeholder.ts';
import { loopsIn, mountsIn } from './clear-host.ts';
import { listing, type PluginNode, startWorld, until, type World } from './world.ts';

/** Two nodes, and the deferred volume `v` that nobody uses yet. */
export async function startDeferred(): Promise<World> {
  const world = await startWorld();
  await Promise.all([world.a.start(), world.b.start()]);
  await world.a.create('v', { attach: 'deferred', mode: '0750' });
  return world;
}

/** How many mounts lie on a folder. */
export function mountsAt(path: string): number {
  return mountsIn(dirname(path)).filter((one) => one === path).length;
}

/** What lies on top at a folder. */
export function top(path: string): MountEntry | undefined {
  return mountAt(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), path);
}

/** What a container that follows the protocol looks at. */
export function hasDisk(path: string): boolean {
  return !existsSync(join(path, placeholderFile));
}

/** Waits for the disk. */
export async function diskAt(path: string, ms?: number): Promise<void> {
  await until(`the disk at ${path}`, () => hasDisk(path), ms);
}

/** Only a placeholder is there. */
export function waitsAt(path: string): void {
  expect(listing(path)).toEqual([placeholderFile]);
  expect(top(path)).toMatchObject({ fstype: 'tmpfs' });
  expect(mountsAt(path)).toBe(1);
}

/** Waits until no host has the volume. */
export async function untilDetached(node: PluginNode): Promise<void> {
  while ((await node.status('v')).status !== 'detached') await delay(50);
}

/** Also nothing that a late answer could still bring. */
export async function nothingLeft(world: World): Promise<void> {
  await until('the mounts to go', () => mountsIn(world.dir).length === 0);
  await until('the devices to go', () => loopsIn(world.dir).length === 0);
  await untilDetached(world.b);
  expect((await world.store.list('/vdvs/attachments/')).entries).toEqual([]);
}

/** Mounted on a with a disk, and on b without. */
export async function heldByA({ a, b }: World): Promise<{ onA: string; onB: string }> {
  const onA = await a.mount('v', 'one');
  await diskAt(onA);
  writeFileSync(join(onA, 'data'), 'from a');
  execFileSync('sync', ['-f', onA]);
  const onB = await b.mount('v', 'two');
  waitsAt(onB);
  return { onA, onB };
}
