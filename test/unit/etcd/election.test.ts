import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createElection, type Leadership, leaderRecordSchema } from '../../../src/etcd/election.ts';
import { createMemoryStore, type MemoryStore } from '../../../src/etcd/memory-store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';

const key = '/test/leader';

describe('an election', () => {
  let clock: ManualClock;
  let store: MemoryStore;
  let end: AbortController;
  const clients: MemoryStore[] = [];
  const candidate = (node: string) => {
    const client = store.client();
    clients.push(client);
    const won: { leadership?: Leadership } = {};
    const election = createElection({ store: client, key, node, ttlMs: 4_000, clock, log: silentLog });
    const campaign = election.campaign(end.signal).then((leadership) => {
      won.leadership = leadership;
      return leadership;
    });
    campaign.catch(() => undefined);
    return { client, campaign, won };
  };

  beforeEach(() => {
    clock = new ManualClock();
    store = createMemoryStore({ clock });
    end = new AbortController();
  });
  afterEach(async () => {
    end.abort();
    for (const client of clients.splice(0)) await client.close();
    await store.close();
  });

  it('has one winner of three, who is recorded', async () => {
    const all = ['a', 'b', 'c'].map(candidate);
    await clock.advance(20_000);
    const winners = all.filter(({ won }) => won.leadership);
    expect(winners).toHaveLength(1);
    const entry = await store.get(key);
    expect(leaderRecordSchema.parse(entry?.value).node).toMatch(/^[abc]$/);
    expect(winners[0]?.won.leadership?.createRevision).toBe(entry?.createRevision);
    expect(winners[0]?.won.leadership?.held()).toBe(true);
  });

  it('is won by another at once when the leader resigns', async () => {
    const [a, b] = [candidate('a'), candidate('b')];
    await clock.settle();
    const first = a.won.leadership ? a : b;
    const second = first === a ? b : a;
    await first.won.leadership?.resign();
    expect(first.won.leadership?.lost.aborted).toBe(true);
    await clock.settle();
    expect(second.won.leadership?.held()).toBe(true);
  });

  it('is lost by a leader without contact before anyone else can win it', async () => {
    const a = candidate('a');
    await clock.settle();
    const b = candidate('b');
    await clock.advance(10_000);
    const leadership = await a.campaign;
    a.client.goOffline();
    const lostAt = { a: 0 };
    leadership.lost.addEventListener('abort', () => {
      lostAt.a = clock.monotonic();
      expect(b.won.leadership).toBeUndefined();
    });
    await clock.advance(10_000);
    expect(lostAt.a).toBeGreaterThan(0);
    expect(lostAt.a).toBeLessThan(10_000 + 4_000);
    expect(leadership.held()).toBe(false);
    expect(b.won.leadership?.held()).toBe(true);
  });

  it('fences the writes of a former leader', async () => {
    const a = candidate('a');
    await clock.settle();
    const leadership = await a.campaign;
    const write = () => store.txn([leadership.condition], [{ put: '/test/x', value: 1 }]);
    expect((await write()).done).toBe(true);
    const lease = (await store.get(key))?.lease ?? '';
    store.dropLease(lease);
    expect((await write()).done).toBe(false);
    candidate('b');
    await clock.advance(1_000);
    expect((await write()).done).toBe(false);
  });

  it('is lost when the key vanishes', async () => {
    const a = candidate('a');
    await clock.settle();
    const leadership = await a.campaign;
    await store.txn([], [{ delete: key }]);
    await clock.settle();
    expect(leadership.lost.aborted).toBe(true);
  });

  it('goes on through loss of contact while campaigning', async () => {
    const a = candidate('a');
    a.client.goOffline();
    await clock.advance(30_000);
    expect(a.won.leadership).toBeUndefined();
    a.client.goOnline();
    await clock.advance(3_000);
    expect(a.won.leadership?.held()).toBe(true);
  });

  it('leaves nothing behind when it is cancelled', async () => {
    candidate('a');
    await clock.settle();
    const b = candidate('b');
    await clock.settle();
    end.abort(new Error('enough'));
    await expect(b.campaign).rejects.toThrow('enough');
  });
});
