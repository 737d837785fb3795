import { describe, expect, it } from 'vitest';
import { type MemberSituation, planMember } from '../../../src/etcd/member/plan-member.ts';
import type { ClusterView, Member, MemberState } from '../../../src/etcd/member/types.ts';

const member = (nodeId: string, traits: Partial<Member> = {}): Member => ({
  id: `id-${nodeId}`,
  nodeId,
  started: true,
  learner: false,
  peerUrls: [`https://${nodeId}:2380`],
  clientAddresses: [`${nodeId}:2379`],
  ...traits,
});
const cluster = (...members: Member[]): ClusterView => ({ answers: true, clusterId: 'c1', members });
const silent: ClusterView = { answers: false, why: 'nobody answers' };
const state = (traits: Partial<MemberState> = {}): MemberState => ({
  v: 1,
  nodeId: 'me',
  hadData: false,
  managers: [],
  ...traits,
});
const plan = (traits: Partial<MemberSituation>) =>
  planMember({
    self: 'me',
    state: state(),
    hasData: false,
    cluster: silent,
    claim: undefined,
    managers: ['me', 'a', 'b'].map((nodeId) => ({ nodeId, address: `10.0.0.${nodeId}` })),
    ...traits,
  });

describe('a manager without etcd data', () => {
  it('asks the Swarm who forms the cluster when no member answers', () => {
    expect(plan({})).toEqual({ do: 'claim' });
  });

  it('forms it when the claim is its own', () => {
    const claim = { v: 1 as const, node: 'me', nonce: 'n' };
    expect(plan({ claim, state: state({ nonce: 'n' }) })).toEqual({ do: 'start', with: 'bootstrap' });
  });

  it('forms it again after a crash between the claim and the first start', () => {
    const claim = { v: 1 as const, node: 'me', nonce: 'n' };
    const again = plan({
      claim,
      state: state({ nonce: 'n', managers: [{ nodeId: 'a', address: '10.0.0.1' }] }),
    });
    expect(again).toEqual({ do: 'start', with: 'bootstrap' });
  });

  it('never forms a second cluster when it lost its disk after it formed the first', () => {
    const claim = { v: 1 as const, node: 'me', nonce: 'of-the-lost-disk' };
    const step = plan({ claim, state: state({ nonce: 'new' }) });
    expect(step).toMatchObject({
      do: 'wait',
      reason: expect.stringContaining('docker config rm vfile-etcd-bootstrap'),
    });
  });

  it('never forms a cluster when only the data vanished', () => {
    const claim = { v: 1 as const, node: 'me', nonce: 'n' };
    expect(plan({ claim, state: state({ nonce: 'n', hadData: true }) })).toMatchObject({ do: 'wait' });
  });

  it('waits for the manager that forms the cluster', () => {
    const claim = { v: 1 as const, node: 'a', nonce: 'n' };
    expect(plan({ claim })).toMatchObject({ do: 'wait', reason: expect.stringContaining('node a forms') });
  });

  it('says what to do when that manager is gone for ever', () => {
    const claim = { v: 1 as const, node: 'gone', nonce: 'n' };
    const reason = expect.stringMatching(/gone.*no manager any more.*docker config rm vfile-etcd-bootstrap/s);
    expect(plan({ claim })).toMatchObject({ do: 'wait', reason });
  });

  it('adds itself to a cluster that answers, whatever the claim says', () => {
    const claim = { v: 1 as const, node: 'me', nonce: 'n' };
    expect(plan({ cluster: cluster(member('a')), claim, state: state({ nonce: 'n' }) })).toEqual({
      do: 'add',
    });
  });

  it('waits while another one joins', () => {
    const joining = member('b', { learner: true, started: false });
    expect(plan({ cluster: cluster(member('a'), joining) })).toMatchObject({ do: 'wait' });
  });

  it('starts once it is added, also after a crash in between', () => {
    const view = cluster(member('a'), member('me', { learner: true, started: false }));
    const members = view.answers ? view.members : [];
    expect(plan({ cluster: view })).toEqual({ do: 'start', with: 'join', members });
  });

  it('leaves the cluster first when its member had started: an empty log must not vote in its name', () => {
    const view = cluster(member('a'), member('b'), member('me'));
    expect(plan({ cluster: view })).toMatchObject({ do: 'remove', memberId: 'id-me' });
  });

  it('leaves the cluster first when it had data, even if the cluster never saw it start', () => {
    const view = cluster(member('a'), member('me', { learner: true, started: false }));
    expect(plan({ cluster: view, state: state({ hadData: true }) })).toMatchObject({ do: 'remove' });
  });
});

describe('a manager with etcd data', () => {
  const mine = state({ hadData: true, memberId: 'id-me', clusterId: 'c1' });

  it('starts with them when nobody answers: all restarted at once', () => {
    expect(plan({ hasData: true, state: mine })).toEqual({ do: 'start', with: 'data' });
  });

  it('starts with them when the cluster lists it', () => {
    const view = cluster(member('a'), member('me'));
    expect(plan({ hasData: true, state: mine, cluster: view })).toEqual({ do: 'start', with: 'data' });
  });

  it('starts with them after a crash before it could note who it is', () => {
    const view = cluster(member('a'), member('me', { learner: true, started: false }));
    const step = plan({ hasData: true, state: state({ hadData: true }), cluster: view });
    expect(step).toEqual({ do: 'start', with: 'data' });
  });

  it('sets them aside only when a quorum says that it was removed', () => {
    const step = plan({ hasData: true, state: mine, cluster: cluster(member('a'), member('b')) });
    expect(step).toMatchObject({ do: 'set-aside' });
  });

  it('sets them aside when it was removed and added again under another identity', () => {
    const again = member('me', { id: 'id-new', learner: true, started: false });
    const step = plan({ hasData: true, state: mine, cluster: cluster(member('a'), again) });
    expect(step).toMatchObject({ do: 'set-aside' });
  });

  it('touches nothing when the others run another cluster', () => {
    const step = plan({ hasData: true, state: { ...mine, clusterId: 'c0' }, cluster: cluster(member('a')) });
    expect(step).toMatchObject({ do: 'wait', reason: expect.stringContaining('another etcd cluster') });
  });

  it('touches nothing when they are those of another node and nobody can be asked', () => {
    const step = plan({ hasData: true, state: { ...mine, nodeId: 'former' } });
    expect(step).toMatchObject({ do: 'wait', reason: expect.stringContaining('former') });
  });

  it('sets data of another node aside when the cluster answers', () => {
    const step = plan({ hasData: true, state: { ...mine, nodeId: 'former' }, cluster: cluster(member('a')) });
    expect(step).toMatchObject({ do: 'set-aside' });
  });
});
