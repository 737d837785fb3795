import { describe, expect, it } from 'vitest';
import { readFileServerSettings } from '../../../../src/fileserver/settings.ts';
import { VolumeError } from '../../../../src/lib/errors.ts';
import { silentLog as log } from '../../../../src/lib/log.ts';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import { createMemorySwarm } from '../../../../src/swarm/memory-swarm.ts';
import { CachedRead } from '../../../../src/vfile/manager/cached-read.ts';
import { managerEndpoints } from '../../../../src/vfile/manager/manager-endpoints.ts';
import { backoffMs, rememberFailed } from '../../../../src/vfile/manager/remember.ts';
import { renderService } from '../../../../src/vfile/manager/render-service.ts';
import { Slots } from '../../../../src/vfile/manager/slots.ts';
import { SwarmView } from '../../../../src/vfile/manager/swarm-view.ts';
import { readVfileSettings } from '../../../../src/vfile/settings.ts';

const volume = (options: Record<string, string> = {}) => ({
  v: 1 as const,
  name: 'Shared.Vol',
  options,
  baseDriver: 'vdvs',
  baseVolume: '_vF_Shared.Vol',
  port: 20_500,
  createdAt: '',
  createdBy: 'n1',
});

describe('the service of a volume', () => {
  const render = (options: Record<string, string> = {}) =>
    renderService({
      spec: volume(options),
      clusterId: 'c1',
      constraints: ['node.id!=a'],
      managers: ['10.0.0.2', '10.0.0.1'],
      settings: readVfileSettings({ VFILE_ETCD_CLIENT_PORT: '3379' }),
    });

  it('mounts the base volume with its driver named, on the host network, under one host name everywhere', () => {
    const spec = render();
    expect(spec.mounts[0]).toEqual({
      type: 'volume',
      source: '_vF_Shared.Vol',
      target: '/export-root',
      driver: 'vdvs',
    });
    expect(spec.hostname).toMatch(/^vfile-shared-vol-[0-9a-f]{10}$/);
    expect(spec.labels).toEqual({ 'org.vfile.cluster': 'c1', 'org.vfile.volume': 'Shared.Vol' });
    expect(spec.constraints).toEqual(['node.id!=a']);
    expect(spec.capabilities).toContain('CAP_DAC_READ_SEARCH');
  });

  it('gives the file server settings that it understands, the lease of the volume among them', () => {
    const { env } = render({ lease: '3s' });
    const filledIn = { ...env, VFILE_NODE_ID: 'n1', VFILE_NODE_HOSTNAME: 'host1' };
    expect(readFileServerSettings(filledIn)).toMatchObject({
      volume: 'Shared.Vol',
      port: 20_500,
      managers: ['10.0.0.1', '10.0.0.2'],
      etcdClientPort: 3_379,
      leaseMs: 3_000,
      exportRoot: '/export-root',
    });
  });
});

describe('slots', () => {
  it('let so many work at once, the others in turn, also after a failure', async () => {
    const slots = new Slots(2);
    const running = { now: 0, most: 0 };
    const order: number[] = [];
    const work = (id: number) =>
      slots.run(async () => {
        running.now += 1;
        running.most = Math.max(running.most, running.now);
        order.push(id);
        await Promise.resolve();
        running.now -= 1;
        if (id === 1) throw new Error('failed');
      });
    const done = await Promise.allSettled([1, 2, 3, 4, 5].map(work));
    expect(running.most).toBe(2);
    expect(order).toEqual([1, 2, 3, 4, 5]);
    expect(done.filter(({ status }) => status === 'rejected')).toHaveLength(1);
  });
});

describe('a cached read', () => {
  it('is shared, grows old, and is not kept when it failed', async () => {
    const clock = new ManualClock();
    const reads = { count: 0, fail: false };
    const cached = new CachedRead({
      clock,
      fetch: async () => {
        reads.count += 1;
        if (reads.fail) throw new VolumeError('unavailable', 'no');
        return reads.count;
      },
    });
    expect(await Promise.all([cached.read(1_000), cached.read(1_000)])).toEqual([1, 1]);
    await clock.advance(999);
    expect(await cached.read(1_000)).toBe(1);
    await clock.advance(1);
    reads.fail = true;
    await expect(cached.read(1_000)).rejects.toMatchObject({ code: 'unavailable' });
    reads.fail = false;
    expect(await cached.read(1_000)).toBe(3);
    expect(await cached.read(0)).toBe(4);
  });
});

describe('the pause after a failure', () => {
  it('doubles from 100 ms, to 10 s at most, 1 s while somebody waits to be served', () => {
    const pauses = (unserved: boolean) => {
      const memory = { value: unserved ? { unservedSince: 0 } : {} };
      return Array.from({ length: 9 }, () => {
        memory.value = rememberFailed(memory.value, 'createBase', new VolumeError('timeout', 'x'));
        return backoffMs(memory.value);
      });
    };
    expect(pauses(false)).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    expect(pauses(true)).toEqual([100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000, 1_000]);
  });
});

describe("the manager's view of the Swarm", () => {
  const spec = (name: string, cluster: string, labelled: string) => ({
    name,
    labels: { 'org.vfile.cluster': cluster, 'org.vfile.volume': labelled },
    image: '',
    command: [],
    env: {},
    hostname: '',
    mounts: [],
    capabilities: [],
    constraints: [],
    replicas: 1,
    maxReplicasPerNode: 1,
    stopGraceMs: 0,
  });

  it("asks once for all volumes, sees only this cluster's services, and what changed since the list", async () => {
    const clock = new ManualClock();
    const swarm = createMemorySwarm({ clock });
    const id = await swarm.createService(spec('a', 'c1', 'a'));
    await swarm.createService(spec('b', 'c2', 'b'));
    const view = new SwarmView({ swarm, clusterId: 'c1', clock });
    expect((await view.serviceOf('a', false))?.id).toBe(id);
    expect(await view.serviceOf('b', false)).toBeUndefined();
    expect(swarm.calls.filter((call) => call === 'services')).toHaveLength(1);
    await swarm.removeService(id);
    expect((await view.serviceOf('a', false))?.id).toBe(id);
    expect(await view.serviceOf('a', true)).toBeUndefined();
    expect(await view.serviceOf('a', false)).toBeUndefined();
  });

  it('two services for one volume are reported, not guessed between', async () => {
    const clock = new ManualClock();
    const swarm = createMemorySwarm({ clock });
    await swarm.createService(spec('a', 'c1', 'a'));
    await swarm.createService(spec('a2', 'c1', 'a'));
    const view = new SwarmView({ swarm, clusterId: 'c1', clock });
    await expect(view.serviceOf('a', true)).rejects.toMatchObject({ code: 'conflict' });
  });
});

describe('where etcd is', () => {
  it("this manager's own member comes first; while the engine is silent, what it said last", async () => {
    const swarm = createMemorySwarm({ clock: new ManualClock() });
    swarm.addNode({ id: 'n1', address: '10.0.0.3' });
    swarm.addNode({ id: 'n2', address: '10.0.0.1' });
    swarm.addNode({ id: 'n3', address: '10.0.0.9', role: 'worker' });
    const endpoints = managerEndpoints({ swarm, port: 2_379, log });
    expect(await endpoints()).toEqual(['10.0.0.3:2379', '10.0.0.1:2379']);
    swarm.fail(new VolumeError('unavailable', 'no engine'));
    expect(await endpoints()).toEqual(['10.0.0.3:2379', '10.0.0.1:2379']);
    const fresh = managerEndpoints({ swarm, port: 2_379, log });
    await expect(fresh()).rejects.toMatchObject({ code: 'unavailable' });
  });
});
