import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { vfileKeys } from '../../../../src/vfile/keys.ts';
import { askForMove, withdrawMove } from '../../../../src/vfile/move-volume.ts';
import { simulateCluster } from './simulated-cluster.ts';

describe('a planned move', () => {
  let c: ReturnType<typeof simulateCluster>;
  const ask = (to?: string) => askForMove({ store: c.store, clock: c.clock }, 'shared', to);
  const requested = async () => (await c.records('shared')).move;
  const serverNode = async () => (await c.records('shared')).server?.value.node;
  const moved = async (epoch: number) =>
    ((await c.records('shared')).server?.value.epoch ?? 0) > epoch && !(await requested());

  beforeEach(async () => {
    c = simulateCluster();
    await c.start();
    await c.create('shared');
    await c.untilState('shared', 'Ready');
    await c.mount('shared', 'n2');
    await c.untilState('shared', 'Mounted');
  });
  afterEach(() => c.stop());

  it('goes to any other node, once, and is recorded like a failover', async () => {
    const from = await serverNode();
    const asked = await ask();
    expect(asked).toEqual({ from, to: undefined, epoch: 1, already: false });
    expect(await c.until('moved', () => moved(asked.epoch))).toBeLessThan(5_000);
    const to = await serverNode();
    expect(to).not.toBe(from);
    expect(c.steps('shared').filter((step) => step === 'replaceTask')).toHaveLength(1);
    expect((await c.status('shared'))?.lastFailover).toMatchObject({
      cause: 'moved as asked',
      from,
      to,
      claimedMs: expect.any(Number),
      durationMs: expect.any(Number),
    });
    await c.clock.advance(60_000);
    expect(c.steps('shared').filter((step) => step === 'replaceTask')).toHaveLength(1);
    expect(await serverNode()).toBe(to);
  });

  it.each(['n1', 'n2', 'n3'])('goes to %s when that is named, also where a leader runs', async (to) => {
    const asked = await ask(to);
    expect(asked.already).toBe(asked.from === to);
    if (!asked.already) await c.until('moved', () => moved(asked.epoch));
    expect(await serverNode()).toBe(to);
  });

  it('survives a change of the leading manager', async () => {
    const from = await serverNode();
    const other = c.nodeIds.find((id) => id !== from && id !== 'n1') ?? '';
    c.startManager('n3');
    const asked = await ask(other);
    c.cutManager('n1');
    await c.until('moved', () => moved(asked.epoch));
    expect(await serverNode()).toBe(other);
  });

  it('waits, and says why, while the node is not fit; nothing is stopped for it', async () => {
    const from = await serverNode();
    const other = c.nodeIds.find((id) => id !== from && id !== 'n1') ?? '';
    c.swarm.updateNode(other, { availability: 'pause' });
    // What the manager knows of the nodes may be a second old.
    await c.clock.advance(1_000);
    await ask(other);
    await c.until('a reason', async () => (await c.status('shared'))?.reason !== '');
    expect(await c.status('shared')).toMatchObject({
      state: 'Mounted',
      reason: `cannot move: ${other}: paused`,
    });
    expect(await serverNode()).toBe(from);
    c.swarm.updateNode(other, { availability: 'active' });
    await c.until('moved', () => moved(1));
    expect(await serverNode()).toBe(other);
  });

  it('is forgotten when it stays impossible, or is taken back', async () => {
    for (const id of c.nodeIds) {
      if (id !== (await serverNode())) c.swarm.updateNode(id, { availability: 'pause' });
    }
    await c.clock.advance(1_000);
    await ask();
    expect(await c.until('given up', async () => !(await requested()), 200_000)).toBeGreaterThan(100_000);
    await ask();
    await withdrawMove({ store: c.store }, 'shared');
    await c.until('calm', async () => (await c.status('shared'))?.reason === '');
    expect(c.steps('shared')).not.toContain('replaceTask');
  });

  it('is over when the server is lost meanwhile and another one serves', async () => {
    const from = (await serverNode()) ?? '';
    expect(from).not.toBe('n1');
    const asked = await ask();
    c.cutPower(from);
    await c.until('moved', () => moved(asked.epoch), 30_000);
    expect(await serverNode()).not.toBe(from);
  });

  it('is refused for what cannot be moved', async () => {
    const parts = { store: c.store, clock: c.clock };
    await expect(askForMove(parts, 'nothing')).rejects.toMatchObject({ code: 'not_found' });
    await expect(ask('n9')).rejects.toMatchObject({
      code: 'not_found',
      message: 'no node n9 is alive; nodes: n1, n2, n3',
    });
    await c.create('idle');
    await expect(askForMove(parts, 'idle')).rejects.toMatchObject({ code: 'conflict' });
    expect((await c.store.list(vfileKeys.move('idle'))).entries).toEqual([]);
  });
});
