import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  EngineContainers,
  EngineVolumes,
  ServiceSpec,
  Swarm,
  TaskState,
} from '../../src/swarm/swarm.ts';

/** A Swarm to hold to the contract: the twin, or a real engine in the lab. */
export interface SwarmUnderTest {
  readonly swarm: Swarm & EngineVolumes & EngineContainers;
  /** An image that is on every node, and a command that runs until it is told to stop. */
  readonly image: string;
  readonly command: readonly string[];
  /** A volume driver of every node. */
  readonly driver: string;
  /** Makes names unlike those of an earlier run. */
  readonly prefix: string;
  stop(): Promise<void>;
}

async function until<T>(look: () => Promise<T | undefined>, what: string): Promise<T> {
  const end = Date.now() + 40_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`not within 40 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** What every implementation of Swarm, EngineVolumes and EngineContainers must do. */
export function swarmContract(name: string, open: () => Promise<SwarmUnderTest>): void {
  describe(`${name} keeps the contract of a Swarm`, () => {
    const given: { test?: SwarmUnderTest } = {};
    const test = (): SwarmUnderTest => {
      if (!given.test) throw new Error('not open');
      return given.test;
    };
    const label = 'org.vfile.contract';
    const spec = (volume: string, patch: Partial<ServiceSpec> = {}): ServiceSpec => ({
      name: `${test().prefix}-${volume}`,
      labels: { [label]: `${test().prefix}-${volume}` },
      image: test().image,
      command: test().command,
      env: { NODE_ID: '{{.Node.ID}}' },
      hostname: 'contract',
      mounts: [{ type: 'bind', source: '/etc/hostname', target: '/hostname', readOnly: true }],
      capabilities: ['CAP_SYS_ADMIN'],
      constraints: [],
      replicas: 1,
      maxReplicasPerNode: 1,
      stopGraceMs: 1_000,
      ...patch,
    });
    const only = async (volume: string) => {
      const found = await test().swarm.services(label, `${test().prefix}-${volume}`);
      expect(found).toHaveLength(1);
      const [service] = found;
      if (!service) throw new Error('no service');
      return service;
    };
    const running = (serviceId: string, wanted: (task: TaskState) => boolean = () => true) =>
      until(async () => {
        const tasks = await test().swarm.tasks(serviceId);
        return tasks.find((task) => task.desired === 'running' && task.state === 'running' && wanted(task));
      }, 'a running task');

    beforeAll(async () => {
      given.test = await open();
    });

    afterAll(async () => {
      for (const service of await test().swarm.services(label)) await test().swarm.removeService(service.id);
      await test().stop();
    });

    it('knows its own node among the nodes, and the managers', async () => {
      const local = await test().swarm.local();
      const nodes = await test().swarm.nodes();
      expect(nodes.find((node) => node.id === local.nodeId)).toMatchObject({ state: 'ready' });
      expect(local.isManager).toBe(true);
      expect(local.managers.map((manager) => manager.nodeId)).toContain(local.nodeId);
      expect(local.managers.every((manager) => !manager.address.includes(':'))).toBe(true);
      expect(nodes.filter((node) => node.leader)).toHaveLength(1);
    });

    it('runs a service on some node', async () => {
      const id = await test().swarm.createService(spec('runs'));
      const task = await running(id);
      const nodes = await test().swarm.nodes();
      expect(nodes.map((node) => node.id)).toContain(task.nodeId);
      expect(await only('runs')).toMatchObject({ id, name: `${test().prefix}-runs`, constraints: [] });
    });

    it('finds services by the whole label, not by its beginning', async () => {
      const id = await test().swarm.createService(spec('vol1'));
      const other = await test().swarm.createService(spec('vol10'));
      expect((await only('vol1')).id).toBe(id);
      expect((await only('vol10')).id).toBe(other);
      expect(await test().swarm.services(label, `${test().prefix}-vol`)).toEqual([]);
      expect((await test().swarm.services(label)).length).toBeGreaterThanOrEqual(2);
    });

    it('refuses a second service of the same name', async () => {
      await test().swarm.createService(spec('twice'));
      await expect(test().swarm.createService(spec('twice'))).rejects.toMatchObject({ code: 'exists' });
    });

    it('starts a service of the same name as soon as the old one is removed, elsewhere when told so', async () => {
      const old = await test().swarm.createService(spec('moved'));
      const first = await running(old);
      const nodes = await test().swarm.nodes();
      const others = nodes.filter((node) => node.id !== first.nodeId);
      const constraints = others.length > 0 ? [`node.id!=${first.nodeId}`] : [];
      await test().swarm.removeService(old);
      const id = await test().swarm.createService(spec('moved', { constraints }));
      expect(id).not.toBe(old);
      const second = await running(id);
      if (others.length > 0) expect(second.nodeId).not.toBe(first.nodeId);
      expect(await only('moved')).toMatchObject({ id, constraints });
    });

    it('says why a task cannot be placed', async () => {
      const nodes = await test().swarm.nodes();
      const constraints = nodes.map((node) => `node.id!=${node.id}`);
      const id = await test().swarm.createService(spec('nowhere', { constraints }));
      const task = await until(async () => {
        const [only] = await test().swarm.tasks(id);
        return only?.message ? only : undefined;
      }, 'a message');
      expect(task).toMatchObject({ nodeId: undefined, message: expect.stringContaining('no suitable node') });
    });

    it('scales a service: what runs goes on, one task on each node, twice without harm', async () => {
      const nodes = await test().swarm.nodes();
      const id = await test().swarm.createService(spec('scaled'));
      const first = await running(id);
      expect(await only('scaled')).toMatchObject({ replicas: 1 });
      await test().swarm.scaleService(id, 2);
      await test().swarm.scaleService(id, 2);
      expect(await only('scaled')).toMatchObject({ id, replicas: 2, constraints: [] });
      const other = await until(async () => {
        const tasks = await test().swarm.tasks(id);
        return tasks.find((task) => task.desired === 'running' && task.id !== first.id);
      }, 'a second task');
      if (nodes.length > 1) {
        const second = await running(id, (task) => task.id === other.id);
        expect(second.nodeId).not.toBe(first.nodeId);
      }
      expect((await running(id, (task) => task.id === first.id)).nodeId).toBe(first.nodeId);
    });

    it('scales back: the task that has no node goes first', async () => {
      const nodes = await test().swarm.nodes();
      const constraints = nodes.slice(1).map((node) => `node.id!=${node.id}`);
      const id = await test().swarm.createService(spec('back', { constraints }));
      const first = await running(id);
      await test().swarm.scaleService(id, 2);
      await until(async () => {
        const tasks = await test().swarm.tasks(id);
        // Swarm has said why, so it does nothing more with it.
        return tasks.find((task) => task.desired === 'running' && !task.nodeId && task.message !== '');
      }, 'a second task that has no node');
      await test().swarm.scaleService(id, 1);
      const left = await until(async () => {
        const tasks = (await test().swarm.tasks(id)).filter((task) => task.desired === 'running');
        return tasks.length === 1 ? tasks : undefined;
      }, 'one task');
      expect(left).toMatchObject([{ id: first.id, state: 'running' }]);
    });

    it('lets a service run on more nodes: what runs goes on, and a task that waited finds its place', async () => {
      const nodes = await test().swarm.nodes();
      const constraints = nodes.slice(1).map((node) => `node.id!=${node.id}`);
      const id = await test().swarm.createService(spec('widened', { constraints, replicas: 2 }));
      const first = await running(id);
      await test().swarm.scaleService(id, 2, []);
      expect(await only('widened')).toMatchObject({ constraints: [], replicas: 2 });
      if (nodes.length > 1) await running(id, (task) => task.nodeId !== first.nodeId);
      expect((await running(id, (task) => task.nodeId === first.nodeId)).id).toBe(first.id);
    });

    it('cannot scale what is not there', async () => {
      await expect(test().swarm.scaleService('nothing', 2)).rejects.toMatchObject({ code: 'not_found' });
    });

    it('removes a service; again is success', async () => {
      const id = await test().swarm.createService(spec('removed'));
      await test().swarm.removeService(id);
      await test().swarm.removeService(id);
      expect(await test().swarm.services(label, `${test().prefix}-removed`)).toEqual([]);
    });

    it('a config belongs to the first who claims it, also of many at once', async () => {
      const config = `${test().prefix}-config`;
      const claims = await Promise.all(
        ['a', 'b', 'c'].map((data) => test().swarm.claimConfig(config, data, { [label]: config })),
      );
      expect(new Set(claims).size).toBe(1);
      expect(await test().swarm.claimConfig(config, 'late', {})).toBe(claims[0]);
    });

    it('creates a volume, twice without harm, shows and removes it, twice without harm', async () => {
      const { swarm, driver, prefix } = test();
      const volume = `${prefix}-volume`;
      expect(await swarm.inspectVolume(volume)).toBeUndefined();
      await swarm.createVolume(volume, driver, {}, { [label]: volume });
      await swarm.createVolume(volume, driver, {}, { [label]: volume });
      expect(await swarm.inspectVolume(volume)).toMatchObject({ driver, labels: { [label]: volume } });
      await swarm.removeVolume(volume);
      await swarm.removeVolume(volume);
      expect(await swarm.inspectVolume(volume)).toBeUndefined();
    });
  });
}
