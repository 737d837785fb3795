import { describe, expect, it } from 'vitest';
import { followEtcdLeader } from '../../../src/etcd/leader-watch.ts';
import type { ClusterView } from '../../../src/etcd/member/types.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';

const member = (id: string, nodeId: string) => ({
  id,
  nodeId,
  started: true,
  learner: false,
  peerUrls: [],
  clientAddresses: [],
});

describe("the node of etcd's leader", () => {
  it('is followed, and not known while etcd does not answer', async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const now: { view: ClusterView; leaderId: string } = {
      view: { answers: true, clusterId: 'c', members: [member('1', 'n1'), member('2', 'n2')] },
      leaderId: '2',
    };
    const admin = {
      view: async () => now.view,
      status: async () => ({ memberId: '1', clusterId: 'c', leader: false, leaderId: now.leaderId }),
    };
    const leader = followEtcdLeader({ admin, clock, signal: stop.signal });
    expect(leader()).toBeUndefined();
    await clock.advance(1);
    expect(leader()).toBe('n2');
    now.leaderId = '1';
    await clock.advance(5_000);
    expect(leader()).toBe('n1');
    now.view = { answers: false, why: 'no quorum' };
    await clock.advance(5_000);
    expect(leader()).toBeUndefined();
    stop.abort();
  });
});
