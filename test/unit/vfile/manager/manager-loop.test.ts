import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../../src/lib/errors.ts';
import { vfileKeys } from '../../../../src/vfile/keys.ts';
import { removeVolume } from '../../../../src/vfile/remove-volume.ts';
import { simulateCluster } from './simulated-cluster.ts';

describe('the manager', () => {
  let c: ReturnType<typeof simulateCluster>;
  const remove = (name: string) => removeVolume({ store: c.store, clock: c.clock }, name);
  const mounted = async (name = 'shared', node = 'n2') => {
    await c.create(name);
    await c.untilState(name, 'Ready');
    await c.mount(name, node);
    await c.untilState(name, 'Mounted');
  };

  beforeEach(async () => {
    c = simulateCluster();
    await c.start();
  });

  afterEach(() => c.stop());

  it('takes a volume from creation through use to its end, and leaves nothing', async () => {
    await c.create('shared', { size: '1gb' });
    await c.untilState('shared', 'Ready');
    expect(c.swarm.volumeNames).toEqual(['_vF_shared']);
    await c.mount('shared', 'n2');
    await c.untilState('shared', 'Mounted');
    expect(await c.status('shared')).toMatchObject({
      server: { node: c.serving.get('shared')?.nodeId, epoch: 1 },
      serviceName: 'vfile-shared',
      reason: '',
    });
    await c.unmount('shared', 'n2');
    await c.untilState('shared', 'Unmounting', 1_000);
    const lingered = await c.untilState('shared', 'Ready');
    expect(lingered).toBeGreaterThanOrEqual(30_000);
    expect(lingered).toBeLessThan(33_000);
    expect(await c.status('shared')).not.toHaveProperty('server');
    await remove('shared');
    await c.until('gone', async () => (await c.store.list(vfileKeys.volumes)).entries.length === 0);
    expect(c.swarm.volumeNames).toEqual([]);
    expect(await c.swarm.services('org.vfile.volume')).toEqual([]);
    expect((await c.store.list(vfileKeys.ports)).entries).toEqual([]);
    expect(c.states('shared')).toEqual([
      'Creating',
      'Ready',
      'Mounting',
      'Mounted',
      'Unmounting',
      'Ready',
      'Deleting',
    ]);
    expect(c.events.filter(({ type }) => type === 'failed' || type === 'failover')).toEqual([]);
  });

  it('a mount within the linger time needs no new server', async () => {
    await mounted();
    await c.unmount('shared', 'n2');
    await c.clock.advance(20_000);
    await c.mount('shared', 'n3');
    expect(await c.untilState('shared', 'Mounted')).toBeLessThan(100);
    await c.clock.advance(40_000);
    expect((await c.status('shared'))?.state).toBe('Mounted');
    expect(c.steps('shared')).toEqual(['checkBase', 'createBase', 'createService', 'scaleService']);
  });

  it('nothing changes, nothing is written: an idle cluster does not keep the store busy', async () => {
    await mounted();
    await c.untilStandby('shared');
    await c.clock.advance(1_000);
    const before = (await c.store.list('/')).revision;
    await c.clock.advance(95_000);
    expect((await c.store.list('/')).revision).toBe(before);
  });

  it('removing a used volume is refused; removing one with a lingering server does not wait', async () => {
    await mounted();
    await expect(remove('shared')).rejects.toMatchObject({ code: 'busy' });
    await c.unmount('shared', 'n2');
    await remove('shared');
    expect(await c.until('gone', async () => !(await c.records('shared')).spec)).toBeLessThan(3_000);
    expect(c.swarm.volumeNames).toEqual([]);
  });

  it('finishes a removal whose remover died between mark and look, for the mount that was first', async () => {
    await mounted();
    const { spec } = await c.records('shared');
    if (!spec) throw new Error('no spec');
    const deleting = new Date(c.clock.now()).toISOString();
    await c.store.txn([], [{ put: vfileKeys.spec('shared'), value: { ...spec.value, deleting } }]);
    await c.until('the mark is off', async () => !(await c.records('shared')).spec?.value.deleting);
    expect((await c.status('shared'))?.state).toBe('Mounted');
  });

  it('power cut: orders another server as soon as claim and sign of life are gone, and records the failover', async () => {
    await mounted();
    const first = c.serving.get('shared')?.nodeId ?? '';
    // The manager runs on n1: see below for the case that it is lost as well.
    expect(first).not.toBe('n1');
    const serviceIds = async () => (await c.swarm.services('org.vfile.volume', 'shared')).map(({ id }) => id);
    const before = await serviceIds();
    c.cutPower(first);
    const gone = async () =>
      !(await c.records('shared')).claim && !(await c.store.get(vfileKeys.node(first)));
    await c.until('claim and sign of life are gone', gone);
    const ordered = await c.until('replaced', async () => c.steps('shared').includes('replaceTask'));
    expect(ordered).toBeLessThanOrEqual(100);
    expect((await c.status('shared'))?.state).toBe('Failing over');
    await c.untilState('shared', 'Mounted', 5_000);
    const second = c.serving.get('shared')?.nodeId;
    expect(second).not.toBe(first);
    expect(await c.status('shared')).toMatchObject({
      server: { node: second, epoch: 2 },
      lastFailover: { from: first, to: second, cause: `${first} is lost`, durationMs: expect.any(Number) },
    });
    expect(c.steps('shared').filter((step) => step === 'replaceTask')).toHaveLength(1);
    // A service of its own: nothing that Swarm does about the lost task can touch it.
    const after = await serviceIds();
    expect(after).toHaveLength(1);
    expect(before).not.toContain(after[0]);
    expect(c.events.filter(({ type }) => type === 'failover')).toHaveLength(1);
  });

  it('power cut of the host where server and leading manager run: another manager leads and does it', async () => {
    c.startManager('n3');
    await mounted('shared', 'n3');
    for (const id of ['n2', 'n3']) c.swarm.updateNode(id, { availability: 'drain' });
    await c.until('served from n1', async () => c.serving.get('shared')?.nodeId === 'n1');
    await c.untilState('shared', 'Mounted');
    for (const id of ['n2', 'n3']) c.swarm.updateNode(id, { availability: 'active' });
    c.cutPower('n1');
    const took = await c.until('served elsewhere', async () => {
      const { server } = await c.records('shared');
      return server && server.value.node !== 'n1';
    });
    expect(took).toBeLessThan(9_000);
    await c.untilState('shared', 'Mounted');
    expect((await c.status('shared'))?.lastFailover).toMatchObject({
      from: 'n1',
      durationMs: expect.any(Number),
    });
  });

  it('ganesha restarts in place: nobody interferes, the failover is recorded', async () => {
    await mounted();
    const restarted = c.serving.get('shared')?.restart();
    await c.untilState('shared', 'Failing over', 100);
    await c.untilState('shared', 'Mounted', 1_000);
    await restarted;
    expect(c.steps('shared')).not.toContain('replaceTask');
    const nodeId = c.serving.get('shared')?.nodeId;
    expect(await c.status('shared')).toMatchObject({
      server: { epoch: 1 },
      lastFailover: { from: nodeId, to: nodeId },
    });
  });

  it('a container that dies on a live host is restarted by Swarm, not moved', async () => {
    await mounted();
    const [service] = await c.swarm.services('org.vfile.volume', 'shared');
    const [task] = await c.swarm.tasks(service?.id ?? '');
    c.swarm.crashTask(task?.id ?? '');
    await c.untilState('shared', 'Failing over', 10_000);
    await c.untilState('shared', 'Mounted', 5_000);
    expect(c.steps('shared')).not.toContain('replaceTask');
    expect((await c.status('shared'))?.server?.epoch).toBe(2);
  });

  it('drain: Swarm moves the server, the manager does not interfere', async () => {
    await mounted();
    const first = c.serving.get('shared')?.nodeId ?? '';
    await c.mount('shared', 'n1');
    c.swarm.updateNode(first, { availability: 'drain' });
    await c.untilState('shared', 'Failing over', 2_000);
    await c.untilState('shared', 'Mounted', 5_000);
    expect(c.serving.get('shared')?.nodeId).not.toBe(first);
  });

  it('no node fit: says so for each node, and serves as soon as one is', async () => {
    await c.create('shared');
    await c.untilState('shared', 'Ready');
    for (const id of c.nodeIds) c.swarm.updateNode(id, { availability: 'drain' });
    await c.clock.advance(2_000);
    await c.mount('shared', 'n2');
    await c.untilState('shared', 'Mounting');
    await c.clock.advance(1_000);
    expect((await c.status('shared'))?.reason).toContain('no node is fit to serve (n1: drained; n2: drained');
    await c.untilState('shared', 'Error', 65_000);
    c.swarm.updateNode('n2', { availability: 'active' });
    expect(await c.untilState('shared', 'Mounted')).toBeLessThan(5_000);
  });

  it('a base volume that cannot be made: says so, tries again and recovers', async () => {
    c.swarm.failCall('createVolume', new VolumeError('internal', 'VolumeDriver.Create: datastore full'));
    await c.create('shared');
    await c.untilState('shared', 'Error', 5_000);
    expect((await c.status('shared'))?.reason).toContain('VolumeDriver.Create: datastore full');
    await c.clock.advance(60_000);
    const tries = c.swarm.calls.filter((call) => call === 'createVolume').length;
    expect(tries).toBeGreaterThan(6);
    expect(tries).toBeLessThan(20);
    c.swarm.failCall('createVolume', undefined);
    await c.untilState('shared', 'Ready', 11_000);
  });

  it("does not touch a base volume that was there before: it may be somebody else's", async () => {
    await c.swarm.createVolume('_vF_shared', 'vdvs', {}, {});
    await c.create('shared');
    await c.untilState('shared', 'Error', 5_000);
    expect((await c.status('shared'))?.reason).toContain('_vF_shared (driver vdvs) exists already');
    await remove('shared');
    await c.until('gone', async () => !(await c.records('shared')).spec);
    expect(c.swarm.volumeNames).toEqual(['_vF_shared']);
  });

  it('a Swarm without leader: the status says so, and all goes on afterwards', async () => {
    await mounted();
    const first = c.serving.get('shared')?.nodeId ?? '';
    c.swarm.fail(new VolumeError('unavailable', 'list services: The swarm does not have a leader'));
    c.cutPower(first);
    await c.until('told', async () => {
      const status = await c.status('shared');
      return status?.state === 'Failing over' && status.reason.includes('does not have a leader');
    });
    await c.clock.advance(3_000);
    c.swarm.fail(undefined);
    expect(await c.untilState('shared', 'Mounted')).toBeLessThan(4_000);
  });

  it('a leader that lost contact with the store does nothing any more; its successor goes on', async () => {
    await mounted();
    c.startManager('n3');
    c.cutManager('n1');
    await c.until('following', async () => c.events.some(({ type }) => type === 'following'));
    await c.clock.advance(5_000);
    await c.create('other');
    await c.untilState('other', 'Ready');
    expect((await c.store.get(vfileKeys.leader))?.value).toMatchObject({ node: 'n3' });
  });

  it('a manager that is stopped hands over at once', async () => {
    c.startManager('n3');
    await c.clock.advance(1_000);
    await c.stopManager('n1');
    const took = await c.until('n3 leads', async () => {
      const leader = (await c.store.get(vfileKeys.leader))?.value as { node?: string } | undefined;
      return leader?.node === 'n3';
    });
    expect(took).toBeLessThan(500);
  });

  it('the mounts of a dead node count for a while, then no more', async () => {
    await mounted('shared', 'n2');
    await c.clock.advance(1_000);
    c.cutPower('n2');
    await c.clock.advance(290_000);
    expect((await c.records('shared')).mounts).toHaveLength(1);
    await c.until('dropped', async () => (await c.records('shared')).mounts.length === 0, 60_000);
    await c.untilState('shared', 'Ready');
  });

  it('removes a service of this cluster that belongs to no volume, not at first sight, and no other', async () => {
    const service = (name: string, cluster: string) => ({
      name,
      labels: { 'org.vfile.cluster': cluster, 'org.vfile.volume': name },
      image: 'x',
      command: [],
      env: {},
      hostname: 'x',
      mounts: [],
      capabilities: [],
      constraints: [],
      replicas: 1,
      maxReplicasPerNode: 1,
      stopGraceMs: 0,
    });
    await c.swarm.createService(service('ours', 'cluster'));
    await c.swarm.createService(service('theirs', 'another'));
    await c.clock.advance(59_000);
    expect(await c.swarm.services('org.vfile.volume')).toHaveLength(2);
    await c.clock.advance(62_000);
    const left = await c.swarm.services('org.vfile.volume');
    expect(left.map(({ name }) => name)).toEqual(['theirs']);
  });

  it('100 volumes are created and mounted at once, and spread over the nodes', async () => {
    const names = Array.from({ length: 100 }, (_, i) => `vol${i}`);
    await Promise.all(names.map((name) => c.create(name)));
    const all = async (state: string) => {
      const states = await Promise.all(names.map((name) => c.status(name)));
      return states.every((status) => status?.state === state);
    };
    expect(await c.until('all Ready', () => all('Ready'))).toBeLessThan(2_000);
    await Promise.all(names.map((name) => c.mount(name, 'n2')));
    expect(await c.until('all Mounted', () => all('Mounted'))).toBeLessThan(5_000);
    const byNode = new Map<string, number>();
    for (const { nodeId } of c.serving.values()) byNode.set(nodeId, (byNode.get(nodeId) ?? 0) + 1);
    expect([...byNode.values()].every((count) => count > 20)).toBe(true);
    expect(c.events.filter(({ type }) => type === 'failed')).toEqual([]);
  });
});
