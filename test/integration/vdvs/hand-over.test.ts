import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { handOverName, inUseName, keepName } from '../../../src/fileserver/attachment.ts';
import { handOverFile, inUseFile, keepFile } from '../../../src/vdvs/node/hand-over.ts';
import { loopsIn, mountsIn } from './clear-host.ts';
import {
  diskAt,
  hasDisk,
  heldByA,
  nothingLeft,
  startDeferred,
  untilDetached,
  waitsAt,
} from './deferred-volume.ts';
import { listing, showLogs, until, type World } from './world.ts';

describe('the disk of a deferred volume', () => {
  let world: World;
  let holders: ChildProcess[];
  beforeEach(async () => {
    holders = [];
    world = await startDeferred();
  });
  afterEach(async (context) => {
    showLogs(world, context);
    for (const holder of holders) holder.kill('SIGKILL');
    await world.end();
  });

  /** A process that makes the file and keeps it open, as a container's would, and what it writes at the end of its input. */
  const holder = async (path: string) => {
    const child = spawn('sh', ['-c', `exec 9>"$0/${inUseFile}"; read -r line; echo end >"$0/data"`, path], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    holders.push(child);
    await until(
      'its file, whose name is taken away',
      () => existsSync(`/proc/${child.pid}/fd/9`) && !existsSync(join(path, inUseFile)),
    );
    return child;
  };

  it('has the same protocol on both sides', () => {
    expect([handOverName, inUseName, keepName]).toEqual([handOverFile, inUseFile, keepFile]);
  });

  it('is given back as soon as its container asks for that, which then has the placeholder again', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    const asked = Date.now();
    writeFileSync(join(onA, handOverFile), '');
    await diskAt(onB);
    expect(Date.now() - asked).toBeLessThan(2_000);
    expect(listing(onB)).toEqual(['data']);
    waitsAt(onA);
    expect(loopsIn(world.dir)).toHaveLength(1);

    // A does not take it back for the one that gave it, but for the next one that comes.
    await b.unmount('v', 'two');
    await untilDetached(b);
    await a.unmount('v', 'unknown');
    waitsAt(onA);
    expect(await a.status('v')).toMatchObject({ status: 'detached' });
    await a.mount('v', 'next');
    await diskAt(onA);
    await a.unmount('v', 'one');
    expect(hasDisk(onA)).toBe(true);
    await a.unmount('v', 'next');
    await nothingLeft(world);
  });

  it('may be removed once it is given back: the engine asks for it before it unmounts, and nothing is left', async () => {
    const { a, b } = world;
    const onA = await a.mount('v', 'one');
    await diskAt(onA);
    await until('the node to follow it', () => a.log().includes('attached'));
    writeFileSync(join(onA, handOverFile), '');
    await untilDetached(b);
    waitsAt(onA);
    expect(await b.call('Remove', { Name: 'v' })).toEqual({ Err: '' });
    // What it is told here keeps it from calling Unmount.
    expect(await a.call('Get', { Name: 'v' })).toEqual({ Volume: null, Err: '' });
    expect(mountsIn(world.dir)).toEqual([]);

    await a.create('v', { attach: 'deferred' });
    await diskAt(await a.mount('v', 'two'));
    await a.unmount('v', 'two');
    await nothingLeft(world);
  });

  it('is not given back while another container of the host uses it', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    await a.mount('v', 'other');
    writeFileSync(join(onA, handOverFile), '');
    await until('the word about it', () => a.log().includes('not handed over: others use it'));
    expect(listing(onA)).toEqual(['data']);
    waitsAt(onB);
    for (const id of ['one', 'other']) await a.unmount('v', id);
    await diskAt(onB);
    await b.unmount('v', 'two');
    await nothingLeft(world);
  });

  it('is given back also by a plugin that was started again meanwhile, and not asked for by the next', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    a.killMain();
    await a.activated();
    writeFileSync(join(onA, handOverFile), '');
    await diskAt(onB);
    waitsAt(onA);
    a.killMain();
    await a.activated();
    await b.unmount('v', 'two');
    await untilDetached(b);
    waitsAt(onA);
    await a.unmount('v', 'one');
    await nothingLeft(world);
  });

  it('is given back when the process that has it in use is killed, without a word of the engine', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    const child = await holder(onA);
    expect(hasDisk(onA)).toBe(true);
    const killed = Date.now();
    child.kill('SIGKILL');
    await diskAt(onB);
    expect(Date.now() - killed).toBeLessThan(2_000);
    expect(listing(onB)).toEqual(['data']);
    waitsAt(onA);
    await b.unmount('v', 'two');
    await a.unmount('v', 'one');
    await nothingLeft(world);
  });

  it('has all that was written when it is given back so', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    const child = await holder(onA);
    const ended = once(child, 'exit');
    child.stdin?.end('go\n');
    await ended;
    await diskAt(onB);
    expect(
      await until(
        'what was written',
        () => listing(onB).includes('data') && readFileSync(join(onB, 'data'), 'utf8'),
      ),
    ).toBe('end\n');
    await a.unmount('v', 'one');
    await b.unmount('v', 'two');
    await nothingLeft(world);
  });

  it('stays until the engine takes it when its process says so before it ends', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    const child = await holder(onA);
    writeFileSync(join(onA, keepFile), '');
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    await until('its word to be taken', () => !existsSync(join(onA, keepFile)));
    expect(hasDisk(onA)).toBe(true);
    waitsAt(onB);
    await a.unmount('v', 'one');
    await diskAt(onB);
    await b.unmount('v', 'two');
    await nothingLeft(world);
  });

  it('is not given back for a file that an earlier user left', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    a.killMain();
    writeFileSync(join(onA, inUseFile), '');
    await a.activated();
    writeFileSync(join(onA, handOverFile), '');
    await diskAt(onB);
    expect(listing(onB)).toEqual([inUseFile, 'data']);
    await a.mount('v', 'three');
    waitsAt(onA);
    await b.unmount('v', 'two');
    await diskAt(onA);
    for (const id of ['one', 'three']) await a.unmount('v', id);
    await nothingLeft(world);
  });
});
