import { describe, expect, it } from 'vitest';
import { planUpkeep, trackUpkeep, type UpkeepSituation } from '../../../src/etcd/member/plan-upkeep.ts';
import type { Member } from '../../../src/etcd/member/types.ts';

const member = (nodeId: string, traits: Partial<Member> = {}): Member => ({
  id: `id-${nodeId}`,
  nodeId,
  started: true,
  learner: false,
  peerUrls: [`https://${nodeId}:2380`],
  clientAddresses: [`${nodeId}:2379`],
  ...traits,
});
const ids = (...nodes: string[]): Set<string> => new Set(nodes.map((node) => `id-${node}`));
const none = { departed: new Map(), stalled: new Map() };
const plan = (traits: Partial<UpkeepSituation>) =>
  planUpkeep({
    self: 'me',
    peerUrl: 'https://me:2380',
    own: { memberId: 'id-me', leader: true },
    members: [member('me'), member('a'), member('b')],
    managers: ['me', 'a', 'b'],
    healthy: ids('me', 'a', 'b'),
    since: none,
    now: 100_000,
    departedMs: 60_000,
    joinMs: 120_000,
    ...traits,
  });
const departed = (node: string, at: number) => ({
  departed: new Map([[`id-${node}`, at]]),
  stalled: new Map(),
});

describe('upkeep of the membership', () => {
  it('does nothing when all is well', () => {
    expect(plan({})).toEqual({ do: 'nothing', reason: '' });
  });

  it('gives the own learner its vote, leader or not', () => {
    const members = [member('me', { learner: true }), member('a')];
    expect(plan({ members, own: { memberId: 'id-me', leader: false } })).toEqual({
      do: 'promote',
      memberId: 'id-me',
    });
  });

  it('brings the own peer address up to date', () => {
    expect(plan({ peerUrl: 'https://me:2390' })).toMatchObject({ do: 'update', peerUrl: 'https://me:2390' });
  });

  it('removes a member whose node is no manager any more, after the time that is set', () => {
    expect(plan({ since: departed('b', 40_001) })).toMatchObject({ do: 'nothing' });
    expect(plan({ since: departed('b', 40_000) })).toMatchObject({ do: 'remove', memberId: 'id-b' });
  });

  it('leaves that to the leader', () => {
    const step = plan({ since: departed('b', 0), own: { memberId: 'id-me', leader: false } });
    expect(step).toMatchObject({ do: 'nothing' });
  });

  it('never removes below a quorum of those that answer', () => {
    const members = [member('me'), member('a'), member('b'), member('c')];
    const step = plan({ members, since: departed('c', 0), healthy: ids('me', 'c') });
    expect(step).toMatchObject({ do: 'nothing', reason: expect.stringContaining('c stays') });
    expect(plan({ members, since: departed('c', 0), healthy: ids('me', 'a') })).toMatchObject({
      do: 'remove',
    });
  });

  it('never removes itself', () => {
    expect(plan({ since: departed('me', 0) })).toMatchObject({ do: 'nothing' });
  });

  it('removes a member that was added but never came up, so that others can join', () => {
    const members = [member('me'), member('a', { learner: true, started: false })];
    const stalled = (at: number) => ({ departed: new Map(), stalled: new Map([['id-a', at]]) });
    const healthy = ids('me');
    expect(plan({ members, healthy, since: stalled(0), now: 119_999 })).toMatchObject({ do: 'nothing' });
    expect(plan({ members, healthy, since: stalled(0), now: 120_000 })).toMatchObject({
      do: 'remove',
      memberId: 'id-a',
    });
  });
});

describe('what upkeep remembers', () => {
  const seen = { members: [member('me'), member('a')], healthy: ids('me', 'a') };

  it('is since when a node is no manager', () => {
    const first = trackUpkeep(none, { ...seen, managers: ['me'], now: 5 });
    expect(first.departed).toEqual(new Map([['id-a', 5]]));
    expect(trackUpkeep(first, { ...seen, managers: ['me'], now: 9 }).departed).toEqual(
      new Map([['id-a', 5]]),
    );
  });

  it('ends when the node is a manager again', () => {
    const first = trackUpkeep(none, { ...seen, managers: ['me'], now: 5 });
    expect(trackUpkeep(first, { ...seen, managers: ['me', 'a'], now: 9 }).departed).toEqual(new Map());
  });

  it('does not change while the Swarm does not answer', () => {
    const first = trackUpkeep(none, { ...seen, managers: ['me'], now: 5 });
    expect(trackUpkeep(first, { ...seen, managers: undefined, now: 9 }).departed).toEqual(first.departed);
    expect(trackUpkeep(none, { ...seen, managers: undefined, now: 9 }).departed).toEqual(new Map());
  });

  it('is since when a joining member is silent', () => {
    const members = [member('me'), member('a', { learner: true })];
    const first = trackUpkeep(none, { members, healthy: ids('me'), managers: undefined, now: 5 });
    expect(first.stalled).toEqual(new Map([['id-a', 5]]));
    const well = trackUpkeep(first, { members, healthy: ids('me', 'a'), managers: undefined, now: 9 });
    expect(well.stalled).toEqual(new Map());
  });
});
