import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isPlaceholder } from '../../../src/vdvs/node/mountinfo.ts';
import { placeholderFile } from '../../../src/vdvs/node/placeholder.ts';
import { inOwnMounts } from '../own-mounts.ts';
import { startFakeEngine } from '../swarm/fake-engine.ts';
import { loopsIn, mountsIn } from './clear-host.ts';
import {
  diskAt,
  hasDisk,
  heldByA,
  mountsAt,
  nothingLeft,
  startDeferred,
  top,
  untilDetached,
  waitsAt,
} from './deferred-volume.ts';
import { detach } from './detach.ts';
import { leaseMs, listing, type PluginNode, showLogs, until, type World } from './world.ts';

describe('a volume whose containers run before its disk is there', () => {
  let world: World;
  let ends: (() => Promise<void> | void)[];
  beforeEach(async () => {
    ends = [];
    world = await startDeferred();
  });
  afterEach(async (context) => {
    showLogs(world, context);
    for (const end of ends.reverse()) await end();
    await world.end();
  });

  const readable = (path: string) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  };
  /** Which containers the engine says there are. */
  const engineUses = async (...volumes: string[]) => {
    const mounts = volumes.map((Name) => ({
      ...{ Type: 'volume', Name, Driver: 'vdvs:latest', Destination: '/data' },
    }));
    const text = JSON.stringify([{ Id: 'c1', Mounts: mounts }]);
    const engine = await startFakeEngine(
      world.engineSocket,
      new Map([['GET /containers/json', { status: 200, text }]]),
    );
    ends.push(engine.stop);
    return engine;
  };

  it('mounts a placeholder at once, and the disk on top as soon as its holder lets go', async () => {
    const { a, b } = world;
    const onA = await a.mount('v', 'one');
    await diskAt(onA);
    writeFileSync(join(onA, 'data'), 'from a');
    const asked = Date.now();
    const onB = await b.mount('v', 'two');
    expect(Date.now() - asked).toBeLessThan(1_000);
    waitsAt(onB);
    expect(readFileSync(join(onB, placeholderFile), 'utf8')).toContain('not attached to this host yet');
    for (const name of ['x', placeholderFile]) {
      expect(() => writeFileSync(join(onB, name), 'x')).toThrow('EROFS');
    }
    await until('the reason', () => b.log().includes('waiting for the disk'));
    expect(await b.status('v')).toMatchObject({
      attach: 'deferred',
      status: 'attached',
      waiting: expect.stringMatching(/^volume v@default is attached to .* since /),
    });
    expect(await b.mount('v', 'three')).toBe(onB);
    waitsAt(onB);

    const released = Date.now();
    await a.unmount('v', 'one');
    await diskAt(onB);
    expect(Date.now() - released).toBeLessThan(2_000);
    expect(readFileSync(join(onB, 'data'), 'utf8')).toBe('from a');
    expect(execFileSync('stat', ['-c', '%a', onB], { encoding: 'utf8' })).toBe('750\n');
    expect(await b.status('v')).not.toHaveProperty('waiting');
    await b.unmount('v', 'two');
    expect(hasDisk(onB)).toBe(true);
    await b.unmount('v', 'three');
    await nothingLeft(world);
    expect(b.log().match(/waiting for the disk/g)).toHaveLength(1);
  });

  it('shows a new file system only when its owner, its permissions and its access are right', async () => {
    const { a } = world;
    await a.create('ro', { attach: 'deferred', fstype: 'xfs', access: 'read-only', uid: '1000' });
    const path = await a.mount('ro', 'one');
    await diskAt(path);
    expect(listing(path)).toEqual([]);
    expect(execFileSync('stat', ['-c', '%u', path], { encoding: 'utf8' })).toBe('1000\n');
    expect(() => writeFileSync(join(path, 'x'), '')).toThrow('EROFS');
    expect(mountsAt(path)).toBe(2);
    await a.unmount('ro', 'one');
    await nothingLeft(world);
  });

  it('gets the disk of a holder without power after its lease', async () => {
    const { onA, onB } = await heldByA(world);
    const device = top(onA)?.source ?? '';
    const began = Date.now();
    await world.a.killAll();
    execFileSync('xfs_io', ['-x', '-c', 'shutdown', onA]);
    execFileSync('umount', [onA]);
    detach(device, world.dir);
    await diskAt(onB);
    expect(Date.now() - began).toBeLessThan(leaseMs + 2_500);
    expect(readFileSync(join(onB, 'data'), 'utf8')).toBe('from a');
  });

  it('leaves nothing when it is unmounted while it waits, and is not in the way of others', async () => {
    const { a, b } = world;
    const { onA } = await heldByA(world);
    await b.mount('v', 'three');
    await b.unmount('v', 'two');
    await b.unmount('v', 'three');
    expect(mountsIn(join(world.dir, 'b'))).toEqual([]);
    expect(hasDisk(onA)).toBe(true);
    await a.unmount('v', 'one');
    await nothingLeft(world);
    await diskAt(await a.mount('v', 'four'));
    await a.unmount('v', 'four');
    expect(await b.call('Remove', { Name: 'v' })).toEqual({ Err: '' });
  });

  it('gives back what it is granted while the last user goes', async () => {
    const { a, b } = world;
    for (const id of ['first', 'second', 'third']) {
      const onA = await a.mount('v', id);
      await diskAt(onA);
      await b.mount('v', id);
      await Promise.all([a.unmount('v', id), b.unmount('v', id)]);
      await nothingLeft(world);
    }
  });

  it('goes on waiting after the plugin was killed, for those whom the engine knows', async () => {
    const { a, b } = world;
    const { onB } = await heldByA(world);
    await b.killAll();
    waitsAt(onB);
    const engine = await engineUses('v');
    await b.start();
    // Long enough for the engine to have been asked as often as it is before something counts as unused.
    await until('looks at the engine', () => engine.seen.length >= 3);
    waitsAt(onB);
    await a.unmount('v', 'one');
    await diskAt(onB);
    expect(readFileSync(join(onB, 'data'), 'utf8')).toBe('from a');
    await b.unmount('v', 'two');
    await nothingLeft(world);
  });

  it('takes away what no container waits for any more after the plugin was killed', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    await b.killAll();
    await engineUses();
    await b.start();
    await until('the placeholder to go', () => mountsAt(onB) === 0);
    await a.unmount('v', 'one');
    expect(mountsAt(onA)).toBe(0);
    await nothingLeft(world);
  });

  it.each([
    ['within its lease', 0],
    ['after its lease', leaseMs],
  ])('goes on with the disk when the plugin was killed and starts %s', async (_when, ms) => {
    const { a } = world;
    const path = await a.mount('v', 'one');
    await diskAt(path);
    writeFileSync(join(path, 'data'), 'kept');
    execFileSync('sync', ['-f', path]);
    await a.killAll();
    await engineUses('v');
    if (ms > 0) await untilDetached(world.b);
    await a.start();
    // The dead disk of the earlier life is not gone at once.
    await until('the disk', () => hasDisk(path) && readable(join(path, 'data')) === 'kept');
    writeFileSync(join(path, 'more'), 'x');
    expect(mountsAt(path)).toBe(2);
    await a.unmount('v', 'one');
    await nothingLeft(world);
  });

  it.each([
    'deferred.placed',
    'deferred.granted',
    'format.made',
    'mount.formatted',
    'deferred.noted',
    'mount.mounted',
    'deferred.attached',
  ])('is put right when the plugin dies on the way, at %s', async (point) => {
    const { a, b } = world;
    const known = point === 'mount.mounted';
    const name = known ? 'v' : 'fresh';
    await engineUses(name);
    await b.create(name, { attach: 'deferred' });
    if (known) {
      // With a file system from before, what is mounted is what containers see.
      await diskAt(await b.mount(name, 'first'));
      await b.unmount(name, 'first');
    }
    await a.killAll();
    await a.start({ VDVS_FAIL_AT: point });
    const mounted = await a.mount(name, 'one').catch(() => undefined);
    await a.died();
    const seen = known ? readable(join(a.mountRoot, 'default', name, placeholderFile)) : '';
    await a.start();
    // An engine that had no answer asks again.
    if (mounted === undefined) await until('the mounts to go', () => mountsIn(world.dir).length === 0);
    const path = mounted ?? (await a.mount(name, 'one'));
    await diskAt(path);
    writeFileSync(join(path, 'data'), point);
    execFileSync('sync', ['-f', path]);
    // Containers saw the disk already and may use it: it must not be taken from them.
    if (known) expect([seen, a.log().includes('file system shut down')]).toEqual([undefined, false]);
    await a.unmount(name, 'one');
    await until('the mounts to go', () => mountsIn(world.dir).length === 0);
    const other = await b.mount(name, 'other');
    await diskAt(other);
    expect(readFileSync(join(other, 'data'), 'utf8')).toBe(point);
    await b.unmount(name, 'other');
    await nothingLeft(world);
  });

  it('goes to exactly one of two that wait, and to the other one after it', async () => {
    const { a, b } = world;
    const c = world.another('c');
    await c.start();
    const { onA, onB } = await heldByA(world);
    const onC = await c.mount('v', 'three');
    waitsAt(onC);
    await a.unmount('v', 'one');
    await until('one of them', () => hasDisk(onB) || hasDisk(onC));
    const [winner, loser, late] = hasDisk(onB) ? [b, c, onC] : [c, b, onB];
    await until('the loser to say so', () => /waiting for the disk.*attached to/.test(loser.log()));
    waitsAt(late);
    await winner.unmount('v', winner === b ? 'two' : 'three');
    await diskAt(late);
    await loser.unmount('v', winner === b ? 'three' : 'two');
    expect(mountsAt(onA)).toBe(0);
    await nothingLeft(world);
  });

  it('ends with one writer when the holder loses its lease and both are in use', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    const member = world.etcd.members[0];
    await member?.freeze();
    try {
      await until('the dead disk to go', () => !hasDisk(onA));
      waitsAt(onA);
    } finally {
      member?.thaw();
    }
    await until('one of them', () => hasDisk(onA) || hasDisk(onB));
    const one = hasDisk(onA) ? { node: a, id: 'one', path: onA } : { node: b, id: 'two', path: onB };
    const other = hasDisk(onA) ? { node: b, id: 'two', path: onB } : { node: a, id: 'one', path: onA };
    expect(readFileSync(join(one.path, 'data'), 'utf8')).toBe('from a');
    waitsAt(other.path);
    await until('the lost device to go', () => loopsIn(world.dir).length === 1);
    await one.node.unmount('v', one.id);
    await diskAt(other.path);
    await other.node.unmount('v', other.id);
    await nothingLeft(world);
  });

  it('waits again when its guard was frozen for longer than its lease', async () => {
    const { a, b } = world;
    const { onA, onB } = await heldByA(world);
    a.signalGuard('SIGSTOP');
    await until('b to have the disk', () => hasDisk(onB));
    a.signalGuard('SIGCONT');
    await until('the dead disk to go', () => a.log().includes('its containers wait for the disk again'));
    expect([hasDisk(onA), hasDisk(onB)]).toEqual([false, true]);
    await Promise.all([a.unmount('v', 'one'), b.unmount('v', 'two')]);
    await nothingLeft(world);
  });

  /** A process that sees a volume as a container does: through a mount of its own that follows the host's. */
  const startContainer = async (path: string) => {
    const inside = join(world.dir, 'inside');
    const script = 'mkdir "$2" && mount --bind "$1" "$2" && touch "$2.there" && exec sleep 600';
    const command = ['sh', '-c', script, 'sh', path, inside];
    const [program, ...args] = inOwnMounts(world.dir, ['--propagation', 'slave'], command);
    const container = spawn(program, args, { stdio: 'ignore' });
    const ended = once(container, 'exit');
    const end = async () => {
      container.kill('SIGKILL');
      await ended;
    };
    ends.push(end);
    await until('the container', () => existsSync(`${inside}.there`));
    return { seen: join(`/proc/${container.pid}/root`, inside), end };
  };
  /** As the engine shares a plugin's mounts. */
  const share = ({ mountRoot }: PluginNode) => {
    execFileSync('mount', ['--bind', mountRoot, mountRoot]);
    execFileSync('mount', ['--make-shared', mountRoot]);
  };

  it('does not ask for the disk while a container has the dead one, and does when that has ended', async () => {
    const { a } = world;
    share(a);
    const path = await a.mount('v', 'one');
    await diskAt(path);
    writeFileSync(join(path, 'data'), 'x');
    execFileSync('sync', ['-f', path]);
    const { seen, end } = await startContainer(path);
    expect(readable(join(seen, 'data'))).toBe('x');
    const member = world.etcd.members[0];
    await member?.freeze();
    try {
      await until('the dead disk to go', () => !hasDisk(path));
    } finally {
      member?.thaw();
    }
    await until('the reason', () => a.log().includes('processes of this host still hold'));
    // Started when the disk was there, it has no placeholder below it.
    expect([readable(join(seen, 'data')), hasDisk(path)]).toEqual([undefined, false]);
    expect((await world.store.list('/vdvs/attachments/')).entries).toEqual([]);
    await end();
    await diskAt(path);
    expect(readable(join(path, 'data'))).toBe('x');
  });

  /** A program of the container's that appends to a file there until the disk is not to be seen any more, or for ever. */
  const appendInside = (seen: string, heedful: boolean) => {
    const program = `
      open my $file, '>>', "$ARGV[0]/data" or die "open: $!";
      $file->autoflush;
      for (my $at = 0; !${heedful ? '-e "$ARGV[0]/$ARGV[1]"' : '0'}; $at++) {
        print $file "$at\\n" or die "print: $!";
        $file->sync or die "sync: $!";
        select undef, undef, undef, 0.01;
      }`;
    const child = spawn('perl', ['-MIO::Handle', '-e', program, seen, placeholderFile], { stdio: 'pipe' });
    let said = '';
    child.stderr.on('data', (piece: Buffer) => {
      said += piece.toString();
    });
    const ended = once(child, 'exit').then(([code]) => ({ code, said }));
    ends.push(() => void child.kill('SIGKILL'));
    return ended;
  };

  it.each([
    ['loses nothing and is told of no error when it stops', true],
    ['is stopped when it goes on', false],
  ])('a container whose disk goes with the plugin %s', async (_what, heedful) => {
    const { a, b } = world;
    share(a);
    share(b);
    const onB = await b.mount('v', 'held');
    await diskAt(onB);
    const path = await a.mount('v', 'one');
    const { seen } = await startContainer(path);
    await b.unmount('v', 'held');
    await until('the disk in the container', () => hasDisk(seen));
    const ended = appendInside(seen, heedful);
    await until('the first lines', () => (readable(join(path, 'data')) ?? '').length > 10);
    await a.terminate();
    const { code, said } = await ended;
    if (heedful) expect({ code, said }).toEqual({ code: 0, said: '' });
    else expect(said).toMatch(/Input\/output error|Read-only file system/);
    const { entries } = await world.store.list('/vdvs/volumes/');
    expect(entries[0]?.value).toMatchObject(heedful ? { epoch: 2, cleanEpoch: 2 } : { cleanEpoch: 1 });
    const again = await b.mount('v', 'two');
    await diskAt(again);
    const lines = (readable(join(again, 'data')) ?? '').split('\n').slice(0, -1);
    expect(lines.length).toBeGreaterThan(3);
    expect(lines).toEqual(lines.map((_, at) => String(at)));
  });

  it('shows a container that lives the placeholder, the disk, and the placeholder again', async () => {
    const { a } = world;
    share(a);
    share(world.b);
    const onB = await world.b.mount('v', 'held');
    await diskAt(onB);
    const path = await a.mount('v', 'one');
    const { seen } = await startContainer(path);
    expect(listing(seen)).toEqual([placeholderFile]);
    expect(() => writeFileSync(join(seen, 'x'), 'x')).toThrow('EROFS');
    const above = top(path);
    expect(above && isPlaceholder(above)).toBe(true);

    await world.b.unmount('v', 'held');
    await until('the disk in the container', () => hasDisk(seen));
    writeFileSync(join(seen, 'data'), 'from inside');
    execFileSync('sync', ['-f', seen]);
    expect(readFileSync(join(path, 'data'), 'utf8')).toBe('from inside');

    const member = world.etcd.members[0];
    await member?.freeze();
    try {
      await until('the placeholder in the container', () => !hasDisk(seen));
      expect(listing(seen)).toEqual([placeholderFile]);
    } finally {
      member?.thaw();
    }
    await until('the disk in the container again', () => hasDisk(seen));
    expect(readFileSync(join(seen, 'data'), 'utf8')).toBe('from inside');
    await a.unmount('v', 'one');
    // What the container has of its own.
    expect(listing(seen)).toEqual([placeholderFile]);
  });
});
