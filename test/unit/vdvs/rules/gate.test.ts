import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMemoryStore, type MemoryStore } from '../../../../src/etcd/memory-store.ts';
import type { Store } from '../../../../src/etcd/store.ts';
import { systemClock as clock } from '../../../../src/lib/clock.ts';
import { changeRules } from '../../../../src/vdvs/rules/change-rules.ts';
import { createRulesGate } from '../../../../src/vdvs/rules/gate.ts';
import { changeMembers, createGroup } from '../../../../src/vdvs/rules/group-changes.ts';
import { noRules, type Rules } from '../../../../src/vdvs/rules/types.ts';
import { refuseMoves } from '../../../../src/vdvs/service/moving-nodes.ts';

const id = { datastore: 'ds', name: 'v' };
const key = '/vdvs/attachments/ds/v';
const attachment = {
  v: 1,
  node: 'n1',
  host: 'host1',
  epoch: 1,
  access: 'read-write',
  since: '2026-01-01T00:00:00Z',
};
const dev = { id: '0a1b2c3d', name: 'Dev', description: '', defaultDatastore: 'ds' };

describe('the gate before a transaction', () => {
  let store: MemoryStore;
  const gateOf = (of: Store) =>
    createRulesGate({ store: of, clock, hostDatastore: 'ds', creatorOf: async () => undefined });
  const attach = (gate: ReturnType<typeof gateOf>) =>
    gate.commitAttach('n1', id, [{ key, is: 'absent' }], [{ put: key, value: attachment }]);
  const moveNode = (rules: Rules) =>
    changeMembers(createGroup(rules, dev, ['ds']), 'Dev', 'add', [{ id: 'n1', host: 'host1' }]);

  beforeEach(() => {
    store = createMemoryStore({ clock });
  });
  afterEach(() => store.close());

  /** A store whose first transaction waits: what was read for it grows old meanwhile. */
  const withSlowTxn = () => {
    const client = store.client();
    const first: { sent: () => void; go: () => void } = { sent: () => undefined, go: () => undefined };
    const isSent = new Promise<void>((resolve) => {
      first.sent = resolve;
    });
    const mayGo = new Promise<void>((resolve) => {
      first.go = resolve;
    });
    const outcomes: boolean[] = [];
    const slow = Object.assign(Object.create(client) as MemoryStore, {
      get: client.get.bind(client),
      list: client.list.bind(client),
      async txn(...asked: Parameters<Store['txn']>) {
        first.sent();
        if (outcomes.length === 0) await mayGo;
        const result = await client.txn(...asked);
        outcomes.push(result.done);
        return result;
      },
    });
    return { slow, isSent, go: first.go, outcomes };
  };

  it('lets no attach slip in between the look at attachments and the new rules', async () => {
    const { slow, isSent, go, outcomes } = withSlowTxn();
    const attaching = attach(gateOf(slow));
    const refused = expect(attaching).rejects.toMatchObject({ code: 'not_found' });
    await isSent;
    await changeRules({ store, clock }, async ({ rules }) => {
      const next = moveNode(rules);
      await refuseMoves(store, rules, next);
      go();
      // Until it was tried: on what was known before the lock.
      while (outcomes.length === 0) await clock.sleep(1);
      return next;
    });
    await refused;
    expect(outcomes).toEqual([false]);
    expect(await store.get(key)).toBeUndefined();
  });

  it('lets the move fail when the attach was first', async () => {
    await attach(gateOf(store));
    const moving = changeRules({ store, clock }, async ({ rules }) => {
      const next = moveNode(rules);
      await refuseMoves(store, rules, next);
      return next;
    });
    await expect(moving).rejects.toThrow('v@ds on host1');
    expect(await store.get('/vdvs/rules/document')).toBeUndefined();
    expect(await store.get('/vdvs/rules/lock')).toBeUndefined();
  });

  it("does not try for ever when it is the caller's own condition that fails", async () => {
    const gate = gateOf(store);
    expect(await attach(gate)).toMatchObject({ done: true });
    expect(await attach(gate)).toMatchObject({ done: false });
  });

  it('counts growth, snapshots and what is on its way out, on each datastore for itself', async () => {
    const record = (sizeBytes: number) => ({ v: 1, options: { sizeBytes } });
    const access = { allowCreate: true, totalSizeBytes: 10 };
    const rules: Rules = { ...noRules, groups: [{ ...dev, id: '_DEFAULT', access: { _ALL_DS: access } }] };
    await store.txn(
      [],
      [
        { put: '/vdvs/rules/document', value: rules },
        { put: '/vdvs/volumes/ds/v', value: record(3) },
        { put: '/vdvs/volumes/ds/0a1b2c3d+v', value: record(100) },
        { put: '/vdvs/volumes/other/w', value: record(9) },
        { put: '/vdvs/snapshots/ds/v-000001', value: record(4) },
      ],
    );
    const grow = (toBytes: number) =>
      gateOf(store).commitSize({ caller: { node: 'n1' }, id, fromBytes: 3, toBytes }, [], []);
    await expect(grow(7)).rejects.toMatchObject({ code: 'no_space' });
    expect(await grow(6)).toMatchObject({ done: true });
    expect(await store.get('/vdvs/ledgers/_DEFAULT/ds')).toMatchObject({ value: { bytes: 10 } });
  });
});
