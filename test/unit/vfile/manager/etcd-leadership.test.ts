import { describe, expect, it } from 'vitest';
import { VolumeError } from '../../../../src/lib/errors.ts';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import type { SwarmNode } from '../../../../src/swarm/swarm.ts';
import {
  betterEtcdLeader,
  type EtcdHomes,
  keepEtcdLeaderApart,
} from '../../../../src/vfile/manager/etcd-leadership.ts';
import type { ManagerEvent } from '../../../../src/vfile/manager/events.ts';

const node = (id: string, changes: Partial<SwarmNode> = {}): SwarmNode => ({
  ...{ id, hostname: id, role: 'manager', availability: 'active', state: 'ready', address: `10.0.0.${id}` },
  ...{ leader: false, volumeDrivers: [] },
  ...changes,
});
const homes = (changes: Partial<EtcdHomes> = {}): EtcdHomes => ({
  leader: 'a',
  nodes: [node('a'), node('b'), node('c')],
  servers: new Map([['a', 1]]),
  self: 'a',
  ...changes,
});

describe('where etcd is led from', () => {
  it('stays where nothing is served, or is not known', () => {
    expect(betterEtcdLeader(homes({ servers: new Map() }))).toBeUndefined();
    expect(betterEtcdLeader(homes({ servers: new Map([['b', 3]]) }))).toBeUndefined();
    expect(betterEtcdLeader(homes({ leader: undefined }))).toBeUndefined();
  });

  it('is rather a manager that serves nothing, best the one where the Swarm or vFile is led', () => {
    expect(betterEtcdLeader(homes())).toBe('b');
    expect(betterEtcdLeader(homes({ self: 'c' }))).toBe('c');
    const nodes = [node('a'), node('b', { leader: true }), node('c')];
    expect(betterEtcdLeader(homes({ nodes, self: 'c' }))).toBe('b');
  });

  it.each([
    [
      'serves',
      {},
      new Map([
        ['a', 1],
        ['b', 1],
      ]),
    ],
    ['is a worker', { role: 'worker' }, undefined],
    ['is drained', { availability: 'drain' }, undefined],
    ['is down', { state: 'down' }, undefined],
  ] as const)('is not moved to a node that %s', (_what, changes, servers) => {
    const nodes = [node('a'), node('b', changes)];
    expect(betterEtcdLeader(homes({ nodes, ...(servers ? { servers } : {}) }))).toBeUndefined();
  });

  it('is moved only when the same has been better for 10 s, until that is done, and not again within a minute', async () => {
    const clock = new ManualClock();
    const moved: string[] = [];
    const events: ManagerEvent[] = [];
    let now = homes();
    const stop = new AbortController();
    const kept = keepEtcdLeaderApart(
      {
        clock,
        look: async () => now,
        move: async (to) => {
          moved.push(to);
          if (moved.length <= 2) throw new VolumeError('unavailable', 'members of etcd do not answer: c');
        },
        emit: (event) => void events.push(event),
      },
      stop.signal,
    );
    await clock.advance(6_000);
    now = homes({ self: 'c' });
    await clock.advance(9_000);
    expect(moved).toEqual([]);
    await clock.advance(5_000);
    expect(moved).toEqual(['c']);
    await clock.advance(10_000);
    expect(moved).toEqual(['c', 'c', 'c']);
    await clock.advance(50_000);
    expect(moved).toHaveLength(3);
    now = homes({ leader: 'c' });
    await clock.advance(200_000);
    expect(moved).toHaveLength(3);
    expect(events).toEqual([
      { type: 'etcdLeader', to: 'c', problem: 'members of etcd do not answer: c' },
      { type: 'etcdLeader', to: 'c', problem: undefined },
    ]);
    stop.abort();
    await kept;
  });
});
