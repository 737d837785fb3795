import { describe, expect, it } from 'vitest';
import { vfileKeys } from '../../../src/vfile/keys.ts';
import { Bench, heldFd, volume } from './fakes.ts';

/** Notes in `events` when the `server` key comes and goes. */
function noteServer(bench: Bench): void {
  const handler = {
    changes: (changes: readonly { type: 'put' | 'delete' }[]) => {
      for (const { type } of changes) bench.events.push(type === 'put' ? 'published' : 'withdrawn');
    },
    lost: () => undefined,
  };
  bench.store.watch(vfileKeys.server(volume), 1, handler, new AbortController().signal);
}

describe('a file server that starts', () => {
  it('claims, starts ganesha, proves that it serves, and only then says so', async () => {
    const bench = new Bench();
    noteServer(bench);
    bench.answers = false;
    await bench.start();
    await bench.clock.advance(3_000);
    expect(bench.events).toEqual(['hold', 'prepare', 'start']);
    expect(await bench.value('claim')).toMatchObject({ node: 'n1', epoch: 1 });
    bench.answers = true;
    await bench.clock.advance(20);
    expect(bench.events).toEqual(['hold', 'prepare', 'start', 'published']);
    expect(await bench.value('server')).toMatchObject({
      node: 'n1',
      host: 'host1',
      address: '10.0.0.1',
      port: 20490,
      epoch: 1,
      instance: 1,
      capacity: { size: 1_000, used: 100 },
    });
  });

  it('waits for the last holder; its epoch is one more than any before', async () => {
    const bench = new Bench();
    const lease = await bench.store.grantLease(60_000);
    const value = { v: 1, node: 'n9', epoch: 41, since: '' };
    await bench.store.txn(
      [],
      [
        { put: vfileKeys.claim(volume), value, lease: lease.id },
        { put: vfileKeys.epoch(volume), value: { v: 1, epoch: 41 } },
      ],
    );
    await bench.start();
    await bench.clock.advance(10_000);
    expect(bench.events).toEqual(['hold', 'prepare served']);
    await lease.revoke();
    await bench.clock.settle();
    expect(await bench.value('server')).toMatchObject({ epoch: 42 });
    expect(await bench.value('epoch')).toMatchObject({ epoch: 42 });
  });

  it('gives up at its deadline, naming the holder', async () => {
    const bench = new Bench();
    const value = { v: 1, node: 'n9', epoch: 41, since: 'noon' };
    await bench.store.txn([], [{ put: vfileKeys.claim(volume), value }]);
    await bench.start();
    await bench.clock.advance(60_000);
    expect(bench.outcome).toMatchObject({
      code: 'timeout',
      message: 'volume shared is still claimed by the server on node n9 (epoch 41, since noon)',
    });
  });

  it('waits for the address that its node has', async () => {
    const bench = new Bench();
    await bench.start({ nodeId: 'n7' });
    expect(bench.events).toEqual(['prepare']);
    await bench.putNode('n7', '10.0.0.7');
    expect(await bench.value('server')).toMatchObject({ address: '10.0.0.7' });
  });

  it('serves a full volume: readers, and those who would delete, need it', async () => {
    const bench = new Bench();
    bench.disk = 'full';
    await bench.start();
    expect(await bench.value('server')).toBeDefined();
  });

  it('does not serve from a disk that refuses writes, and lets go of the volume', async () => {
    const bench = new Bench();
    bench.disk = 'broken';
    await bench.start();
    expect(bench.outcome).toMatchObject({ code: 'unavailable', message: expect.stringContaining('EIO') });
    expect(bench.process.ended).toBe(true);
    expect(await bench.value('server')).toBeUndefined();
    expect(await bench.value('claim')).toBeUndefined();
  });

  it('stops before it serves when asked to', async () => {
    const bench = new Bench();
    await bench.store.txn(
      [],
      [{ put: vfileKeys.claim(volume), value: { v: 1, node: 'n9', epoch: 1, since: '' } }],
    );
    await bench.start();
    await bench.stop();
    expect([bench.outcome, bench.events]).toEqual(['stopped', ['hold', 'prepare', 'let go']]);
    expect(bench.waiting).toEqual([]);
  });

  it('has nothing to serve when the volume is gone', async () => {
    const bench = new Bench();
    bench.putSpec = async () => undefined;
    await bench.start();
    expect(bench.outcome).toMatchObject({ code: 'not_found' });
  });
});

describe('a file server whose ganesha fails', () => {
  it('tells the clients at once and starts it again on the socket that it held all the time', async () => {
    const bench = new Bench();
    noteServer(bench);
    await bench.start();
    bench.process.die();
    await bench.clock.advance(50);
    const again = ['withdrawn', 'start', 'published'];
    expect(bench.events).toEqual(['hold', 'prepare', 'start', 'published', ...again]);
    expect(bench.listenFds).toEqual([heldFd, heldFd]);
    expect(await bench.value('server')).toMatchObject({ epoch: 1, instance: 2 });
    expect(new Set(bench.epochs).size).toBe(2);
  });

  it('has the next one wait once it has served for a while, and starts that', async () => {
    const bench = new Bench();
    await bench.start();
    await bench.clock.advance(4_900);
    expect(bench.waiting).toEqual([]);
    await bench.clock.advance(200);
    const [waiting] = bench.waiting;
    expect(waiting).toBeDefined();
    bench.process.die();
    await bench.clock.advance(50);
    expect(bench.process).toBe(waiting);
    expect(await bench.value('server')).toMatchObject({ epoch: 1, instance: 2 });
    await bench.clock.advance(10_000);
    expect(bench.waiting).toHaveLength(1);
    await bench.stop();
    expect(bench.waiting).toEqual([]);
  });

  it('starts another one at once when the one that waited does nothing as its turn comes', async () => {
    const bench = new Bench();
    await bench.start();
    await bench.clock.advance(5_100);
    Object.assign(bench, { answers: false, refuses: false });
    bench.process.die();
    await bench.clock.advance(930);
    const [, waited] = bench.processes;
    expect([bench.processes.length, waited?.ended]).toEqual([2, false]);
    await bench.clock.advance(250);
    expect([bench.processes.length, waited?.ended]).toEqual([3, true]);
    bench.answers = true;
    await bench.clock.advance(400);
    expect(await bench.value('server')).toMatchObject({ instance: 3 });
  });

  it.each([
    ['two answers and does nothing', false, 800],
    ['answers for 9 s though it works', true, 9_200],
  ])('kills one that misses %s', async (_what, busy, ms) => {
    const bench = new Bench();
    await bench.start();
    bench.process.busy = busy;
    bench.answers = false;
    await bench.clock.advance(ms - 1);
    expect(bench.processes).toHaveLength(1);
    await bench.clock.advance(1);
    expect(bench.processes).toHaveLength(2);
    expect(bench.processes[0]?.ended).toBe(true);
    expect(await bench.value('server')).toBeUndefined();
  });

  it('lets it answer until the moment when it would be killed for its lease, and no longer', async () => {
    const bench = new Bench();
    await bench.start();
    // Lease 5 s, margin 1 s.
    expect(bench.permittedUntil).toBe(4_000);
    await bench.clock.advance(10_000);
    expect(bench.permittedUntil).toBeGreaterThan(12_000);
    bench.own.goOffline();
    const { permittedUntil } = bench;
    await bench.clock.advance(permittedUntil - 1 - bench.clock.monotonic());
    expect(bench.process.ended).toBe(false);
    await bench.clock.advance(200);
    expect([bench.process.ended, bench.permittedUntil]).toEqual([true, permittedUntil]);
  });

  it('does not take one that it has stopped itself for one that hangs', async () => {
    const bench = new Bench();
    await bench.start();
    bench.process.freeze();
    bench.answers = false;
    await bench.clock.advance(20_000);
    bench.process.thaw();
    bench.answers = true;
    await bench.clock.advance(20_000);
    expect(bench.processes).toHaveLength(1);
  });

  it('leaves it to Swarm after the fifth crash in a row', async () => {
    const bench = new Bench();
    await bench.start();
    for (let crash = 0; crash < 5; crash += 1) {
      bench.process.die();
      await bench.clock.advance(3_000);
    }
    expect(bench.processes).toHaveLength(5);
    expect(bench.outcome).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/ganesha ended 5 times within a minute: .*SIGSEGV/),
    });
    expect(await bench.value('claim')).toBeUndefined();
  });

  it('stays where it is when it was given to other hosts twice and fails here too', async () => {
    const bench = new Bench();
    await bench.start();
    const at = (ago: number) => new Date(bench.clock.now() - ago).toISOString();
    const status = { v: 1, state: 'Mounted', reason: '', since: at(0), baseReady: true };
    const value = { ...status, unaskedMoves: [at(60_000), at(120_000)] };
    await bench.store.txn([], [{ put: vfileKeys.status(volume), value }]);
    for (let crash = 0; crash < 5; crash += 1) {
      bench.process.die();
      await bench.clock.advance(4_900);
    }
    // Between the fifth and the sixth start lie 5 s.
    expect([bench.outcome, bench.processes.length]).toEqual(['running', 5]);
    await bench.clock.advance(200);
    expect(bench.processes).toHaveLength(6);
    expect(await bench.value('server')).toMatchObject({ after: expect.stringContaining('SIGSEGV') });
  });

  it('lets go of the volume when the disk fails, but not while a process may still write to it', async () => {
    const bench = new Bench();
    await bench.start();
    bench.process.mortal = false;
    bench.disk = 'broken';
    await bench.clock.advance(10_000);
    expect(bench.events.at(-1)).toBe('kill');
    expect(await bench.value('server')).toBeUndefined();
    await bench.clock.advance(4_900);
    expect(await bench.value('claim')).toBeDefined();
    await bench.clock.advance(200);
    expect(bench.outcome).toMatchObject({ code: 'unavailable' });
    expect(await bench.value('claim')).toBeDefined();
  });
});

describe('a file server and its lease', () => {
  it('serves on while etcd is out of reach for less than the lease', async () => {
    const bench = new Bench();
    await bench.start();
    await bench.clock.advance(1_000);
    bench.own.goOffline();
    await bench.clock.advance(3_900);
    bench.own.goOnline();
    await bench.clock.advance(20_000);
    expect(bench.events).toEqual(['hold', 'prepare', 'start']);
    expect(await bench.value('server')).toMatchObject({ instance: 1 });
  });

  it('stops when the claim turns out to be somebody else’s', async () => {
    const bench = new Bench();
    await bench.start();
    await bench.store.txn([], [{ delete: vfileKeys.claim(volume) }]);
    bench.capacity = { size: 1_000, used: 500 };
    await bench.clock.advance(30_000);
    expect(bench.process.ended).toBe(true);
    expect(bench.outcome).toMatchObject({ message: expect.stringContaining('not ours any more') });
    expect(bench.diskUse).toBe('free');
  });
});

describe('a file server that is asked to stop', () => {
  it('tells the clients, ends ganesha, lets go of disk and volume, and of the socket when the clients have parked', async () => {
    const bench = new Bench();
    noteServer(bench);
    await bench.putMount('n2', '10.0.0.2');
    await bench.start();
    await bench.stop();
    expect(bench.events.slice(3)).toEqual(['published', 'kill', 'withdrawn', 'hand over']);
    expect(await bench.value('claim')).toBeUndefined();
    await bench.clock.advance(799);
    expect(bench.outcome).toBe('running');
    await bench.clock.advance(1);
    expect(bench.events.at(-1)).toBe('let go');
    expect(bench.outcome).toBe('stopped');
  });

  it('does not wait when nobody has it mounted', async () => {
    const bench = new Bench();
    await bench.start();
    await bench.stop();
    expect([bench.outcome, bench.process.ended]).toEqual(['stopped', true]);
    // No server comes after it that would want the disk.
    expect(bench.events).not.toContain('hand over');
    expect(bench.diskUse).toBe('kept');
  });

  it('does not wait long for a store that is out of reach, and with the disk not at all', async () => {
    const bench = new Bench();
    await bench.putMount('n2', '10.0.0.2');
    await bench.start();
    bench.own.goOffline();
    await bench.stop();
    expect(bench.events.slice(-2)).toEqual(['kill', 'hand over']);
    await bench.clock.advance(1_000);
    expect(bench.process.ended).toBe(true);
    await bench.clock.advance(3_000);
    expect(bench.outcome).toBe('stopped');
  });
});

describe('the clients of a file server', () => {
  it('are the live nodes and those with a mount; a change reaches ganesha without a restart', async () => {
    const bench = new Bench();
    await bench.putMount('n2', '10.0.0.2');
    await bench.start();
    expect(bench.process.config).toContain('Clients = 10.0.0.1, 10.0.0.2;');
    await bench.putNode('n3', '10.0.0.3');
    expect(bench.process.config).toContain('Clients = 10.0.0.1, 10.0.0.2, 10.0.0.3;');
    expect(bench.events.slice(3)).toEqual(['reload']);
    await bench.putNode('n2', '10.0.0.2');
    expect(bench.events.slice(3)).toEqual(['reload']);
  });

  it('are all in the configuration when several come while it is written', async () => {
    const bench = new Bench();
    await bench.start();
    bench.writeMs = 50;
    await bench.putNode('n2', '10.0.0.2');
    await bench.clock.advance(10);
    await bench.putNode('n3', '10.0.0.3');
    await bench.putNode('n4', '10.0.0.4');
    await bench.clock.advance(200);
    expect(bench.process.config).toContain('Clients = 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4;');
    expect(bench.events.slice(3)).toEqual(['reload', 'reload']);
  });

  it('may reclaim when their node lives and has it mounted; nobody waits for others', async () => {
    const bench = new Bench();
    bench.records = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
    await bench.putMount('n2', '10.0.0.2');
    await bench.putNode('n2', '10.0.0.2');
    await bench.putMount('n3', '10.0.0.3');
    await bench.putNode('n4', '10.0.0.4');
    await bench.start();
    expect(bench.records).toEqual(['10.0.0.2']);
  });

  it('who die while grace waits for them are not waited for; after grace their death means nothing', async () => {
    const bench = new Bench();
    bench.records = ['10.0.0.2', '10.0.0.3'];
    for (const node of ['n2', 'n3']) {
      await bench.putMount(node, `10.0.0.${node[1]}`);
      await bench.putNode(node, `10.0.0.${node[1]}`);
    }
    await bench.start();
    await bench.clock.advance(1_000);
    await bench.dropNode('n2');
    await bench.clock.advance(50);
    expect(bench.records).toEqual(['10.0.0.3']);
    expect(bench.processes).toHaveLength(2);
    bench.endGrace();
    await bench.dropNode('n3');
    await bench.clock.advance(50);
    expect(bench.processes).toHaveLength(2);
  });

  it('say who has reclaimed once grace is over, and keep saying so', async () => {
    const bench = new Bench();
    bench.records = ['10.0.0.2', '10.0.0.3'];
    bench.reclaimed = ['10.0.0.2', '10.0.0.4'];
    for (const node of ['n2', 'n3']) {
      await bench.putMount(node, `10.0.0.${node[1]}`);
      await bench.putNode(node, `10.0.0.${node[1]}`);
    }
    await bench.start();
    await bench.clock.advance(1_000);
    expect(await bench.value('server')).not.toHaveProperty('grace');
    bench.endGrace();
    await bench.clock.advance(50);
    const grace = { awaited: 2, reclaimed: 1 };
    expect(await bench.value('server')).toMatchObject({ grace });
    bench.capacity = { size: 1_000, used: 500 };
    await bench.clock.advance(30_000);
    expect(await bench.value('server')).toMatchObject({ grace, capacity: { used: 500 } });
  });

  it('learn of the volume’s use when it has changed by more than a little', async () => {
    const bench = new Bench();
    await bench.start();
    bench.capacity = { size: 1_000, used: 105 };
    await bench.clock.advance(30_000);
    expect(await bench.value('server')).toMatchObject({ capacity: { used: 100 } });
    bench.capacity = { size: 1_000, used: 110 };
    await bench.clock.advance(30_000);
    expect(await bench.value('server')).toMatchObject({ instance: 1, capacity: { used: 110 } });
  });
});
