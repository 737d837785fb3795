import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listing, startWorld, type World } from './world.ts';

describe('a datastore that is full', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=150m', 'tmpfs', world.slow]);
    await Promise.all([world.a.start(), world.b.start()]);
  });
  afterAll(async () => {
    await world.a.terminate();
    await world.b.terminate();
    execFileSync('umount', ['-l', world.slow]);
    await world.end();
  });

  it.each(['zeroedthick', 'eagerzeroedthick'])(
    'takes no %s disk, says so, and keeps nothing of it',
    async (diskformat) => {
      const answer = await world.a.call('Create', {
        Name: 'thick@slow',
        Opts: { size: '300mb', diskformat },
      });
      expect(answer.Err).toMatch(/thick@slow|thick/);
      expect(answer.Err).toMatch(/are more than the 150mb that are free/);
      expect(listing(world.slow)).toEqual([]);
      expect((await world.b.call('Get', { Name: 'thick@slow' })).Volume ?? null).toBeNull();
    },
  );

  it('fails what a thin disk cannot hold, and loses nothing that was acknowledged', async () => {
    const { a, b } = world;
    const name = 'thin@slow';
    await a.create(name, { size: '400mb' });
    const path = await a.mount(name, 'one');
    const kept = openSync(join(path, 'kept'), 'w');
    writeSync(kept, 'acknowledged');
    fsyncSync(kept);
    closeSync(kept);
    const big = openSync(join(path, 'big'), 'w');
    expect(() => {
      for (let at = 0; at < 300; at++) {
        writeSync(big, Buffer.alloc(1_000_000, at));
        fsyncSync(big);
      }
    }).toThrow(/EIO|ENOSPC|EROFS/);
    closeSync(big);
    await a.unmount(name, 'one');
    execFileSync('mount', ['-o', 'remount,size=600m', world.slow]);
    const again = await b.mount(name, 'two');
    expect(readFileSync(join(again, 'kept'), 'utf8')).toBe('acknowledged');
    rmSync(join(again, 'big'), { force: true });
    await b.unmount(name, 'two');
    execFileSync('e2fsck', ['-fn', join(world.slow, 'thin-flat.vmdk')], { stdio: 'pipe' });
    expect(await b.call('Remove', { Name: name })).toEqual({ Err: '' });
  });
});
