import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog as log } from '../../../src/lib/log.ts';
import { createDockerSwarm } from '../../../src/swarm/docker-swarm.ts';
import { type Answers, startFakeEngine } from './fake-engine.ts';

const created = '2026-01-01T00:00:00.123456789Z';
const service = (id: string, labels: Record<string, string>) => ({
  ID: id,
  Version: { Index: 7 },
  CreatedAt: created,
  UpdatedAt: created,
  Spec: {
    Name: `name-${id}`,
    Labels: labels,
    TaskTemplate: { ContainerSpec: { Image: 'x' }, Placement: { Constraints: ['node.id!=a'] } },
  },
});
const spec = {
  name: 'vfile-shared',
  labels: { 'org.vfile.volume': 'shared' },
  image: 'vfile/fileserver:1',
  command: ['node', 'x.mjs'],
  env: { A: '1', B: '{{.Node.ID}}' },
  hostname: 'vfile-shared',
  mounts: [
    { type: 'volume', source: '_vF_shared', target: '/export-root', driver: 'vdvs' },
    { type: 'bind', source: '/c', target: '/d', readOnly: true },
  ],
  capabilities: ['CAP_SYS_ADMIN'],
  constraints: ['node.id!=a'],
  replicas: 1,
  maxReplicasPerNode: 1,
  stopGraceMs: 10_000,
} as const;

describe("Docker's API as the Swarm sees it", () => {
  const directory = mkdtempSync(join(tmpdir(), 'vfile-engine-'));
  const socketPath = join(directory, 'docker.sock');
  const answers = new Map() as Answers;
  const answer = (call: string, status: number, body: unknown) =>
    answers.set(call, { status, text: JSON.stringify(body) });
  let engine: Awaited<ReturnType<typeof startFakeEngine>>;
  const swarm = createDockerSwarm({ socketPath, log });

  beforeEach(async () => {
    answers.clear();
    engine = await startFakeEngine(socketPath, answers);
  });

  afterEach(async () => {
    await engine.stop();
    rmSync(socketPath, { force: true });
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('reads the local node; addresses of managers come without port, IPv6 without brackets', async () => {
    answer('GET /info', 200, {
      Name: 'host1',
      Swarm: {
        NodeID: 'n1',
        NodeAddr: '10.0.0.1',
        LocalNodeState: 'active',
        ControlAvailable: true,
        RemoteManagers: [
          { NodeID: 'n1', Addr: '10.0.0.1:2377' },
          { NodeID: 'n2', Addr: '[fd00::2]:2377' },
        ],
        Cluster: { ID: 'c1' },
      },
    });
    expect(await swarm.local()).toEqual({
      nodeId: 'n1',
      clusterId: 'c1',
      address: '10.0.0.1',
      isManager: true,
      hostname: 'host1',
      managers: [
        { nodeId: 'n1', address: '10.0.0.1' },
        { nodeId: 'n2', address: 'fd00::2' },
      ],
    });
  });

  it('an engine outside of a Swarm is nobody', async () => {
    answer('GET /info', 200, {
      Name: 'host1',
      Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', RemoteManagers: null },
    });
    expect(await swarm.local()).toMatchObject({ nodeId: '', isManager: false, managers: [] });
  });

  it('reads nodes with their volume drivers, of whatever form the rest is', async () => {
    answer('GET /nodes', 200, [
      {
        ID: 'n1',
        Spec: { Role: 'manager', Availability: 'active' },
        Description: {
          Hostname: 'host1',
          Engine: {
            Plugins: [
              { Type: 'Volume', Name: 'vdvs:latest' },
              { Type: 'Network', Name: 'host' },
            ],
          },
        },
        Status: { State: 'ready', Addr: '0.0.0.0' },
        ManagerStatus: { Leader: true, Reachability: 'reachable', Addr: '10.0.0.1:2377' },
      },
      {
        ID: 'n2',
        Spec: { Role: 'worker', Availability: 'drain' },
        Description: { Hostname: 'host2', Engine: {} },
        Status: { State: 'down', Addr: '10.0.0.2' },
      },
    ]);
    expect(await swarm.nodes()).toEqual([
      {
        id: 'n1',
        hostname: 'host1',
        role: 'manager',
        availability: 'active',
        state: 'ready',
        address: '10.0.0.1',
        leader: true,
        volumeDrivers: ['vdvs'],
      },
      {
        id: 'n2',
        hostname: 'host2',
        role: 'worker',
        availability: 'drain',
        state: 'down',
        address: '10.0.0.2',
        leader: false,
        volumeDrivers: [],
      },
    ]);
  });

  it('compares labels itself, whatever the filter let through', async () => {
    answer('GET /services', 200, [service('s1', { l: 'vol1' }), service('s2', { l: 'vol10' })]);
    const found = await swarm.services('l', 'vol1');
    expect(found.map(({ id }) => id)).toEqual(['s1']);
    expect(found[0]).toMatchObject({
      constraints: ['node.id!=a'],
      replicas: 1,
      createdAt: Date.parse(created),
    });
    expect(JSON.parse(engine.seen[0]?.query.filters ?? '')).toEqual({ label: ['l=vol1'] });
  });

  it('a service never waits for its last task, restarts at once and names the driver of its volume', async () => {
    answer('POST /services/create', 201, { ID: 's1' });
    expect(await swarm.createService(spec)).toBe('s1');
    expect(engine.seen[0]?.body).toMatchObject({
      Name: 'vfile-shared',
      Labels: { 'org.vfile.volume': 'shared' },
      Mode: { Replicated: { Replicas: 1 } },
      UpdateConfig: { Order: 'stop-first', FailureAction: 'continue', Parallelism: 1 },
      TaskTemplate: {
        Networks: [{ Target: 'host' }],
        RestartPolicy: { Condition: 'any', Delay: 0 },
        Placement: { Constraints: ['node.id!=a'], MaxReplicas: 1 },
        ContainerSpec: {
          Image: 'vfile/fileserver:1',
          Command: ['node', 'x.mjs'],
          Env: ['A=1', 'B={{.Node.ID}}'],
          Hostname: 'vfile-shared',
          CapabilityAdd: ['CAP_SYS_ADMIN'],
          StopGracePeriod: 10_000_000_000,
          Mounts: [
            {
              Type: 'volume',
              Source: '_vF_shared',
              Target: '/export-root',
              VolumeOptions: { NoCopy: true, DriverConfig: { Name: 'vdvs', Options: {} } },
            },
            { Type: 'bind', Source: '/c', Target: '/d', ReadOnly: true },
          ],
        },
      },
    });
  });

  it('scales a service: all else in it goes back as it came, by the version that was read', async () => {
    const read = { ...service('s1', { l: '1' }), Version: { Index: 7 } };
    const Spec = {
      ...read.Spec,
      Mode: { Replicated: { Replicas: 1 } },
      TaskTemplate: { ...read.Spec.TaskTemplate, ForceUpdate: 3, Odd: { a: [1] } },
      EndpointSpec: { Mode: 'vip' },
    };
    answer('GET /services/s1', 200, { ...read, Spec });
    answer('POST /services/s1/update', 200, { Warnings: null });
    await swarm.scaleService('s1', 2);
    const [, update] = engine.seen;
    expect(update).toMatchObject({ path: '/services/s1/update', query: { version: '7' } });
    expect(update?.body).toEqual({ ...Spec, Mode: { Replicated: { Replicas: 2 } } });
    await swarm.scaleService('s1', 2, ['node.id!=b']);
    const Placement = { Constraints: ['node.id!=b'] };
    expect(engine.seen.at(-1)?.body).toMatchObject({ TaskTemplate: { Placement, ForceUpdate: 3 } });
    const before = engine.seen.length;
    await swarm.scaleService('s1', 1, ['node.id!=a']);
    expect(engine.seen.slice(before).map(({ method }) => method)).toEqual(['GET']);
  });

  it('reads a service again when others changed it meanwhile, a few times', async () => {
    const read = service('s1', {});
    answer('GET /services/s1', 200, { ...read, Spec: { ...read.Spec, Mode: { Replicated: {} } } });
    const refused = JSON.stringify({ message: 'rpc error: code = Unknown desc = update out of sequence' });
    let races = 2;
    answers.set('POST /services/s1/update', () => {
      races -= 1;
      return races < 0 ? { status: 200, text: '{}' } : { status: 500, text: refused };
    });
    await swarm.scaleService('s1', 2);
    expect(engine.seen.map(({ method }) => method)).toEqual(['GET', 'POST', 'GET', 'POST', 'GET', 'POST']);
    races = 1_000;
    await expect(swarm.scaleService('s1', 2)).rejects.toMatchObject({ code: 'conflict' });
    await expect(swarm.scaleService('s9', 2)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('a config that exists is read', async () => {
    answer('POST /configs/create', 409, { message: 'already exists' });
    answer('GET /configs', 200, [
      { ID: 'c2', Spec: { Name: 'boot2', Labels: {}, Data: 'eA==' } },
      { ID: 'c1', Spec: { Name: 'boot', Labels: null, Data: Buffer.from('first').toString('base64') } },
    ]);
    expect(await swarm.claimConfig('boot', 'second', {})).toBe('first');
  });

  it('volumes: options go into the body only; what is gone is gone', async () => {
    answer('POST /volumes/create', 201, { Name: 'v' });
    await swarm.createVolume('v', 'vdvs', { size: '1gb' }, { l: '1' });
    expect(engine.seen[0]).toMatchObject({
      query: {},
      body: { Name: 'v', Driver: 'vdvs', DriverOpts: { size: '1gb' }, Labels: { l: '1' } },
    });
    await expect(swarm.removeVolume('v')).resolves.toBeUndefined();
    await expect(swarm.inspectVolume('v')).resolves.toBeUndefined();
    await expect(swarm.removeService('s')).resolves.toBeUndefined();
  });

  it('volumes in use are those of running containers', async () => {
    answer('GET /containers/json', 200, [
      {
        Id: 'c1',
        Mounts: [
          { Type: 'volume', Name: 'shared', Driver: 'vfile:latest' },
          { Type: 'bind', Source: '/x' },
        ],
      },
    ]);
    expect(await swarm.volumesInUse()).toEqual([{ containerId: 'c1', driver: 'vfile', volume: 'shared' }]);
  });

  it.each([
    [409, 'rpc error: name conflicts with an existing object', 'exists'],
    [400, 'invalid mount', 'invalid'],
    [503, 'This node is not a swarm manager', 'unavailable'],
    [500, 'rpc error: code = Unknown desc = The swarm does not have a leader', 'unavailable'],
    [500, 'something odd', 'internal'],
  ])('create refused with %i %s is %s, with the text', async (status, message, code) => {
    answer('POST /services/create', status, { message });
    await expect(swarm.createService(spec)).rejects.toMatchObject({
      code,
      message: `create service vfile-shared: ${message}`,
    });
  });

  it('a used volume is busy', async () => {
    answer('DELETE /volumes/v', 409, { message: 'volume is in use - [abc]' });
    await expect(swarm.removeVolume('v')).rejects.toMatchObject({ code: 'busy' });
  });

  it('an answer of another form is an error that says what is wrong', async () => {
    answer('GET /nodes', 200, [{ ID: 5 }]);
    await expect(swarm.nodes()).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringMatching(/list nodes: unexpected answer: [\s\S]*ID/),
    });
  });

  it('no engine: unavailable, and well again when it is back', async () => {
    await engine.stop();
    rmSync(socketPath, { force: true });
    await expect(swarm.nodes()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('the Docker engine does not answer'),
    });
    engine = await startFakeEngine(socketPath, answers);
    answer('GET /nodes', 200, []);
    await expect(swarm.nodes()).resolves.toEqual([]);
  });

  it('an engine that hangs up in the middle is unavailable', async () => {
    const path = join(directory, 'rude.sock');
    const rude = createServer((request) => request.socket.destroy());
    await new Promise<void>((resolve) => rude.listen(path, resolve));
    await expect(createDockerSwarm({ socketPath: path, log }).local()).rejects.toMatchObject({
      code: 'unavailable',
    });
    await new Promise((resolve) => rude.close(resolve));
  });
});
