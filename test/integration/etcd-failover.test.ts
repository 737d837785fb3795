import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openStore } from '../../src/etcd/etcd-store.ts';
import { createMirror } from '../../src/etcd/list-watch-mirror.ts';
import type { Store } from '../../src/etcd/store.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { type RealEtcd, type RealMember, startEtcd } from '../contract/real-etcd.ts';
import { startTcpProxy } from '../contract/tcp-proxy.ts';

/** A frozen process is to its clients what a host that lost power is: connections stay, nothing ever comes. */
describe('a member of three falls silent', () => {
  const given: { etcd?: RealEtcd; open: Store[] } = { open: [] };
  const etcd = (): RealEtcd => given.etcd ?? expect.fail('no etcd');
  const member = (index: number): RealMember => etcd().members[index] ?? expect.fail('no member');
  /** A store that asks the first member first; the second store is an onlooker at the other end. */
  const open = (addresses: readonly string[], requestTimeoutMs = 5_000): Store => {
    const endpoints = async (): Promise<readonly string[]> => addresses;
    const parts = { identity: undefined, endpoints, clock: systemClock, log: silentLog, requestTimeoutMs };
    const store = openStore(parts);
    given.open.push(store);
    return store;
  };
  const elapsed = async (work: () => Promise<unknown>): Promise<number> => {
    const began = systemClock.monotonic();
    await work();
    return systemClock.monotonic() - began;
  };
  const ready = (store: Store): Promise<unknown> =>
    vi.waitFor(() => store.txn([], [{ put: '/ready', value: 1 }]), { timeout: 20_000, interval: 200 });

  beforeAll(async () => {
    given.etcd = await startEtcd({ size: 3 });
  });
  beforeEach(async () => {
    await ready(open(etcd().addresses));
  });
  afterEach(async () => {
    for (const one of etcd().members) one.thaw();
    for (const store of given.open.splice(0)) await store.close();
  });
  afterAll(async () => {
    for (const one of etcd().members) one.thaw();
    await etcd().stop();
  });

  // Each of the three, because one of them leads etcd and is missed in another way.
  it.each([0, 1, 2])('reads go on at another member (member %i)', async (index) => {
    const addresses = [...etcd().addresses.slice(index), ...etcd().addresses.slice(0, index)];
    const store = open(addresses);
    await store.get('/ready');
    await member(index).freeze();
    expect(await elapsed(() => store.get('/ready'))).toBeLessThan(5_000);
    expect(await elapsed(() => store.get('/ready'))).toBeLessThan(500);
  });

  it.each([0, 1, 2])('a watch notices, and a mirror catches up (member %i)', async (index) => {
    const addresses = [...etcd().addresses.slice(index), ...etcd().addresses.slice(0, index)];
    const store = open(addresses);
    const writer = open([...addresses].reverse());
    await ready(writer);
    const mirror = createMirror({ store, prefix: `/mirror/${index}/`, clock: systemClock, log: silentLog });
    await mirror.ready(5_000);
    await member(index).freeze();
    const began = systemClock.monotonic();
    await writer.txn(
      [{ key: `/mirror/${index}/a`, is: 'absent' }],
      [{ put: `/mirror/${index}/a`, value: 1 }],
    );
    const look = (): true | undefined => mirror.entries.has(`/mirror/${index}/a`) || undefined;
    await mirror.waitFor(look, { timeoutMs: 10_000, describe: () => 'the change is not seen' });
    expect(systemClock.monotonic() - began).toBeLessThan(5_000);
    mirror.stop();
  });

  it.each([0, 1, 2])('a lease lives on, and its holder is never in doubt (member %i)', async (index) => {
    const addresses = [...etcd().addresses.slice(index), ...etcd().addresses.slice(0, index)];
    const store = open(addresses);
    const lease = await store.grantLease(5_000);
    await store.txn([], [{ put: `/lease/${index}`, value: 1, lease: lease.id }]);
    const lost = vi.fn();
    lease.onLost(lost);
    await member(index).freeze();
    const frozenAt = systemClock.monotonic();
    const least: number[] = [];
    await vi.waitFor(
      () => {
        least.push(lease.safeUntil() - systemClock.monotonic());
        expect(systemClock.monotonic() - frozenAt).toBeGreaterThan(8_000);
      },
      { timeout: 12_000, interval: 50 },
    );
    expect(Math.min(...least)).toBeGreaterThan(500);
    expect(lost).not.toHaveBeenCalled();
    expect(await store.get(`/lease/${index}`)).toBeDefined();
  });

  it.each([0, 1, 2])('a conditional write goes through, once (member %i)', async (index) => {
    const addresses = [...etcd().addresses.slice(index), ...etcd().addresses.slice(0, index)];
    const store = open(addresses);
    const key = `/conditional/${index}`;
    await store.txn([], [{ put: key, value: 0 }]);
    const before = await store.get(key);
    await member(index).freeze();
    const began = systemClock.monotonic();
    const when = [{ key, modRevision: before?.modRevision ?? 0 }];
    const result = await store.txn(when, [{ put: key, value: 1 }]);
    expect(result.done).toBe(true);
    expect(systemClock.monotonic() - began).toBeLessThan(5_000);
    expect(await store.get(key)).toMatchObject({ value: 1, modRevision: result.revision });
  });

  it('members that nobody told of are used as well', async () => {
    const debug = vi.fn();
    const endpoints = async (): Promise<readonly string[]> => [member(0).address];
    const log = { ...silentLog, debug };
    const store = openStore({
      identity: undefined,
      endpoints,
      clock: systemClock,
      log,
      requestTimeoutMs: 5_000,
    });
    given.open.push(store);
    await store.get('/ready');
    const learned = { addresses: [...etcd().addresses].sort() };
    await vi.waitFor(() => expect(debug).toHaveBeenCalledWith('etcd members', learned), { timeout: 5_000 });
    await member(0).freeze();
    expect(await store.get('/ready')).toBeDefined();
  });

  it('an unconditional write whose answer is lost is not sent again, and says that it may have been done', async () => {
    const proxy = await startTcpProxy(member(0).address);
    const store = open([proxy.address, member(1).address], 2_500);
    await store.get('/ready');
    proxy.holdAnswers();
    const write = store.txn([], [{ put: '/unknown', value: 1 }]);
    await expect(write).rejects.toMatchObject({ retry: true, message: /whether it was done is not known/ });
    expect(await store.get('/unknown')).toMatchObject({ value: 1 });
    await proxy.stop();
  });

  it('a write that was done, but whose answer was lost, is found to be done', async () => {
    const proxy = await startTcpProxy(member(0).address);
    const store = open([proxy.address, member(1).address]);
    await store.get('/ready');
    const [key, value] = ['/answer-lost', { v: 1, by: 'us' }];
    proxy.holdAnswers();
    const result = await store.txn([{ key, is: 'absent' }], [{ put: key, value }]);
    const entry = await store.get(key);
    expect(entry).toMatchObject({ value, modRevision: entry?.createRevision });
    expect(result).toEqual({ done: true, revision: entry?.modRevision });
    await proxy.stop();
  });

  it('a write that another host did in the meantime is not taken for ours', async () => {
    const proxy = await startTcpProxy(member(0).address);
    const store = open([proxy.address, member(1).address]);
    const other = open([member(1).address]);
    await store.get('/ready');
    const key = '/other-faster';
    proxy.holdQuestions();
    const write = store.txn([{ key, is: 'absent' }], [{ put: key, value: { by: 'us' } }]);
    await other.txn([], [{ put: key, value: { by: 'them' } }]);
    await expect(write).rejects.toMatchObject({ code: 'unavailable', message: /not known/ });
    expect((await other.get(key))?.value).toEqual({ by: 'them' });
    await proxy.stop();
  });
});

describe('etcd without a quorum', () => {
  const given: { etcd?: RealEtcd; store?: Store } = {};

  beforeAll(async () => {
    const etcd = await startEtcd({ size: 3 });
    given.etcd = etcd;
    const endpoints = async (): Promise<readonly string[]> => etcd.addresses;
    const parts = { identity: undefined, endpoints, clock: systemClock, log: silentLog };
    given.store = openStore({ ...parts, requestTimeoutMs: 5_000 });
    const { store } = given;
    await vi.waitFor(() => store.txn([], [{ put: '/a', value: 1 }]), { timeout: 20_000, interval: 200 });
  });
  afterAll(async () => {
    for (const one of given.etcd?.members ?? []) one.thaw();
    await given.store?.close();
    await given.etcd?.stop();
  });

  it('answers no call, ends watches, and says why; then all goes on', async () => {
    const { etcd, store } = given;
    if (!etcd || !store) return expect.fail('not started');
    const mirror = createMirror({ store, prefix: '/', clock: systemClock, log: silentLog });
    await mirror.ready(5_000);
    for (const one of etcd.members.slice(1)) await one.freeze();
    const failed = await store.get('/a').catch((thrown: unknown) => thrown);
    expect(failed).toMatchObject({ code: 'unavailable' });
    for (const address of etcd.addresses) expect(String(failed)).toContain(address);
    await expect(store.txn([], [{ put: '/a', value: 2 }])).rejects.toMatchObject({ retry: true });
    await vi.waitFor(() => expect(mirror.synced).toBe(false), { timeout: 10_000 });
    expect(mirror.problem).toMatch(/etcd/);
    expect(mirror.entries.get('/a')?.value).toBe(1);
    for (const one of etcd.members) one.thaw();
    await vi.waitFor(() => expect(mirror.synced).toBe(true), { timeout: 15_000 });
    await vi.waitFor(() => store.txn([], [{ put: '/a', value: 3 }]), { timeout: 10_000 });
    await vi.waitFor(() => expect(mirror.entries.get('/a')?.value).toBe(3));
    mirror.stop();
  });
});
