import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { askForMove } from '../../../../src/vfile/move-volume.ts';
import { simulateCluster } from './simulated-cluster.ts';

describe('a cluster with standbys', () => {
  let c: ReturnType<typeof simulateCluster>;
  const open = async (nodes: number) => {
    c = simulateCluster({ nodes });
    await c.start();
    await c.create('shared');
    await c.untilState('shared', 'Ready');
    await c.mount('shared', 'n2');
    await c.untilState('shared', 'Mounted');
  };
  const serverNode = async () => (await c.records('shared')).server?.value.node;
  const service = async () => (await c.swarm.services('org.vfile.volume', 'shared'))[0];
  const servedBy = (wanted: (node: string) => boolean, mostMs = 30_000) =>
    c.until(
      'served elsewhere',
      async () => {
        const node = await serverNode();
        return node !== undefined && wanted(node);
      },
      mostMs,
    );
  /** The server on a node without the manager, with its standby. */
  const pair = async () => {
    const second = await c.untilStandby('shared');
    return { first: (await serverNode()) ?? '', second };
  };
  const failover = async () => {
    await c.untilState('shared', 'Mounted');
    return (await c.status('shared'))?.lastFailover;
  };

  describe('of four nodes', () => {
    beforeEach(() => open(4));
    afterEach(() => c.stop());

    it('a volume gets one on another node once it has been served for a while', async () => {
      expect(await c.until('a second task', async () => (await service())?.replicas === 2)).toBeGreaterThan(
        9_000,
      );
      const { first, second } = await pair();
      expect(second).not.toBe(first);
      expect(await c.status('shared')).toMatchObject({ state: 'Mounted', standby: { host: second } });
      expect(c.events.filter(({ type }) => type === 'failed')).toEqual([]);
    });

    it('power cut: the standby takes over as soon as it has the disk; the service stays and gets another', async () => {
      const { first, second } = await pair();
      const before = await service();
      c.cutPower(first);
      // When the disk may be given away, and the time that ganesha takes.
      expect(await servedBy((node) => node !== first)).toBeLessThan(8_200);
      expect(await serverNode()).toBe(second);
      expect(await failover()).toMatchObject({ from: first, to: second, by: 'standby' });
      expect((await failover())?.cause).toContain(`${first} is lost`);
      expect(await failover()).not.toHaveProperty('orderedMs');
      expect((await service())?.id).toBe(before?.id);
      const next = await c.untilStandby('shared');
      expect([first, second]).not.toContain(next);
      expect(c.steps('shared')).not.toContain('replaceTask');
    });

    it('server and standby lost at once: a third node serves', async () => {
      const { first, second } = await pair();
      const left = c.nodeIds.filter((id) => id !== first && id !== second);
      if (!left.includes('n1')) c.startManager(left[0] ?? '');
      c.cutPower(first);
      c.cutPower(second);
      await servedBy((node) => left.includes(node));
      expect(await failover()).toMatchObject({ by: 'new task' });
    });

    it('the standby is lost while it takes over: a third node serves', async () => {
      const { first, second } = await pair();
      const left = c.nodeIds.filter((id) => id !== first && id !== second);
      if (!left.includes('n1')) c.startManager(left[0] ?? '');
      c.cutPower(first);
      await c.until('claimed', async () => (await c.records('shared')).claim?.value.node === second);
      c.cutPower(second);
      await servedBy((node) => left.includes(node));
      expect(await failover()).toMatchObject({ from: first, durationMs: expect.any(Number) });
    });

    it('a container that dies: the standby takes over, the next one waits in its place', async () => {
      const { first, second } = await pair();
      const tasks = await c.swarm.tasks((await service())?.id ?? '');
      c.swarm.crashTask(tasks.find(({ nodeId }) => nodeId === first)?.id ?? '');
      await servedBy((node) => node === second, 10_000);
      expect(await failover()).toMatchObject({ by: 'standby' });
      expect(await c.untilStandby('shared')).not.toBe(second);
      expect(c.steps('shared')).not.toContain('replaceTask');
    });

    it('the next standby is seen soon after a failover, however long ago the number of tasks was changed', async () => {
      const { first, second } = await pair();
      await c.clock.advance(45_000);
      c.swarm.updateNode(first, { availability: 'drain' });
      await servedBy((node) => node === second);
      const shown = async () => {
        const standby = (await c.status('shared'))?.standby?.node;
        return standby !== undefined && standby !== second;
      };
      expect(await c.until('the next standby is shown', shown)).toBeLessThan(8_000);
    });

    it('drain: the standby takes over at once', async () => {
      const { first, second } = await pair();
      c.swarm.updateNode(first, { availability: 'drain' });
      expect(await servedBy((node) => node === second)).toBeLessThan(1_000);
      expect(await failover()).toMatchObject({ by: 'standby' });
      expect(c.steps('shared')).not.toContain('replaceTask');
    });

    it("the standby's host is lost: nothing happens to the server, and another standby comes", async () => {
      const { first, second } = await pair();
      if (second === 'n1') c.startManager(first);
      c.cutPower(second);
      const gone = async () => (await c.status('shared'))?.standby?.node !== second;
      await c.until('the standby is not shown any more', gone);
      expect(await c.untilStandby('shared')).not.toBe(second);
      expect(await serverNode()).toBe(first);
      expect((await c.status('shared'))?.lastFailover).toBeUndefined();
    });

    it('a move without a target: the server makes way, the service stays', async () => {
      const { first, second } = await pair();
      const before = await service();
      const asked = await askForMove({ store: c.store, clock: c.clock }, 'shared');
      expect(await servedBy((node) => node === second)).toBeLessThan(1_000);
      await c.until('ended', async () => !(await c.records('shared')).move);
      expect((await c.records('shared')).server?.value.epoch).toBe(asked.epoch + 1);
      expect(await failover()).toMatchObject({
        from: first,
        to: second,
        cause: 'moved as asked',
        by: 'standby',
      });
      expect((await service())?.id).toBe(before?.id);
      expect(await c.untilStandby('shared')).not.toBe(second);
    });

    it('a move to a third node: served from there, and a standby beside it again', async () => {
      const { first, second } = await pair();
      const third = c.nodeIds.find((id) => id !== first && id !== second) ?? '';
      await askForMove({ store: c.store, clock: c.clock }, 'shared', third);
      await servedBy((node) => node === third);
      expect(await failover()).toMatchObject({ to: third, by: 'new task' });
      expect(await c.untilStandby('shared')).not.toBe(third);
      await c.clock.advance(60_000);
      expect(await serverNode()).toBe(third);
    });

    it('a volume that nobody uses any more has neither', async () => {
      await pair();
      await c.unmount('shared', 'n2');
      await c.untilState('shared', 'Ready', 40_000);
      expect(await service()).toBeUndefined();
      expect(await c.status('shared')).not.toHaveProperty('standby');
    });
  });

  describe('of two nodes', () => {
    beforeEach(() => open(2));
    afterEach(() => c.stop());

    it('without the second no task waits for ever, and with it again a standby does', async () => {
      const { first, second } = await pair();
      c.swarm.updateNode(second, { availability: 'drain' });
      await c.until('one task', async () => (await service())?.replicas === 1);
      await c.clock.advance(120_000);
      expect(c.steps('shared').filter((step) => step === 'scaleService')).toHaveLength(2);
      c.swarm.updateNode(second, { availability: 'active' });
      expect(await c.untilStandby('shared')).toBe(second);
      expect(await serverNode()).toBe(first);
      expect((await c.status('shared'))?.lastFailover).toBeUndefined();
    });
  });
});
