import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminData } from '../../../src/admin/admin-data.ts';
import { type AdminServer, startAdminServer } from '../../../src/admin/admin-server.ts';
import { createAdminClient } from '../../../src/admin/cli/admin-client.ts';
import { createProgram } from '../../../src/admin/cli/program.ts';
import { createMetrics } from '../../../src/admin/metrics.ts';
import { createMirror } from '../../../src/etcd/list-watch-mirror.ts';
import type { ClusterView } from '../../../src/etcd/member/types.ts';
import { createMemoryStore, type MemoryStore } from '../../../src/etcd/memory-store.ts';
import { systemClock as clock } from '../../../src/lib/clock.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import { silentLog as log } from '../../../src/lib/log.ts';
import type { NodeIdentitySource, TlsFiles } from '../../../src/lib/node-identity.ts';
import { createSwarmCertificates } from '../../../src/lib/swarm-certificates.ts';
import { createVolume } from '../../../src/vfile/create-volume.ts';
import { vfileKeys } from '../../../src/vfile/keys.ts';
import { recordMount } from '../../../src/vfile/mount-records.ts';
import { askForMove, withdrawMove } from '../../../src/vfile/move-volume.ts';
import { type GrowBase, resizeVolume } from '../../../src/vfile/resize-volume.ts';
import { createSwarmCa } from '../../contract/swarm-ca.ts';

const since = '2026-01-01T00:00:00Z';

describe('the admin API over mutual TLS', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vfile-admin-'));
  const given: {
    store?: MemoryStore;
    server?: AdminServer;
    identities: NodeIdentitySource[];
    ends: (() => void)[];
    etcd: ClusterView;
    healthy: Set<string>;
  } = {
    identities: [],
    ends: [],
    healthy: new Set(['m1', 'm2']),
    etcd: {
      answers: true,
      clusterId: 'c',
      members: ['m2', 'm1'].map((nodeId) => ({
        ...{ id: nodeId, nodeId, started: true, learner: nodeId === 'm2' },
        ...{ peerUrls: [], clientAddresses: [] },
      })),
    },
  };
  const tls = new Map<string, TlsFiles>();
  const grown: string[] = [];
  const growBase: GrowBase = async (base, size) => {
    if (size === '1mb') throw new VolumeError('invalid', 'volumes can only grow');
    grown.push(`${base} ${size}`);
    return { growing: size === '3gb' };
  };
  const client = (node: string) =>
    createAdminClient({
      address: '127.0.0.1',
      port: given.server?.port ?? 0,
      tls: tls.get(node) ?? { cert: '', key: '', ca: '' },
      timeoutMs: 5_000,
    });
  /** Runs the command line; what it printed. */
  const vfile = async (...args: string[]): Promise<string> => {
    const printed: string[] = [];
    const program = createProgram({
      connect: async () => client('m1'),
      print: (text) => printed.push(text),
      warn: (text) => printed.push(text),
      version: '0',
      clock,
    });
    await program.parseAsync(['node', 'vfile', ...args]);
    return printed.join('\n');
  };

  beforeAll(async () => {
    const ours = createSwarmCa(join(directory, 'ours'));
    const theirs = createSwarmCa(join(directory, 'theirs'));
    const issue = async (name: string, from: string) => {
      const identity = createSwarmCertificates({ directory: from, clock, log });
      given.identities.push(identity);
      tls.set(name, (await identity.current()).tls);
      return identity;
    };
    const manager = await issue('m1', ours.issue({ nodeId: 'm1', role: 'swarm-manager' }));
    await issue('w1', ours.issue({ nodeId: 'w1', role: 'swarm-worker' }));
    await issue('x1', theirs.issue({ nodeId: 'x1', role: 'swarm-manager' }));

    const store = createMemoryStore({ clock });
    given.store = store;
    const settings = { baseDriver: 'vdvs', nfsPorts: { first: 20_490, count: 10 } };
    await createVolume({ store, clock, settings, node: 'm1' }, 'shared', { size: '1gb' });
    await createVolume({ store, clock, settings, node: 'm1' }, 'idle', {});
    await recordMount({ store }, 'shared', {
      v: 1,
      node: 'w1',
      host: 'host-w1',
      address: '10.0.0.2',
      ids: { a: 1 },
      since,
    });
    await store.txn(
      [],
      [
        {
          put: vfileKeys.status('shared'),
          value: { v: 1, state: 'Mounted', reason: '', since, baseReady: true, baseAsked: true },
        },
        {
          put: vfileKeys.server('shared'),
          value: {
            v: 1,
            node: 'm1',
            host: 'host-m1',
            address: '10.0.0.1',
            port: 20_490,
            epoch: 3,
            instance: 1,
            since,
            capacity: { size: 1024 ** 3, used: 512 * 1024 ** 2 },
          },
        },
        {
          put: vfileKeys.node('m1'),
          value: { v: 1, node: 'm1', host: 'host-m1', address: '10.0.0.1', version: '0.1.0', problems: [] },
        },
        { put: vfileKeys.leader, value: { v: 1, node: 'm1', since } },
      ],
    );
    const mirror = (prefix: string) => {
      const made = createMirror({ store, prefix, clock, log });
      given.ends.push(() => made.stop());
      return made;
    };
    const mirrors = {
      volumes: mirror(vfileKeys.volumes),
      nodes: mirror(vfileKeys.nodes),
      leader: mirror(vfileKeys.leader),
    };
    await Promise.all(Object.values(mirrors).map((one) => one.ready(5_000)));
    const data = new AdminData(mirrors);
    const metrics = createMetrics({ data });
    metrics.observe({
      type: 'failover',
      volume: 'shared',
      record: {
        ...{ at: since, cause: 'x', from: 'a', by: 'standby' },
        ...{ orderedMs: 500, claimedMs: 5_000, durationMs: 7_000 },
      },
    });
    given.server = await startAdminServer({
      data,
      orders: {
        move: (volume, to) => askForMove({ store, clock }, volume, to),
        withdrawMove: (volume) => withdrawMove({ store }, volume),
        resize: (volume, size) => resizeVolume({ store, growBase }, volume, size),
      },
      etcd: async () => ({ cluster: given.etcd, healthy: given.healthy }),
      registry: metrics.registry,
      identity: manager,
      port: 0,
      log,
    });
  });

  afterAll(async () => {
    await given.server?.stop();
    for (const identity of given.identities) identity.stop();
    for (const end of given.ends) end();
    await given.store?.close();
    rmSync(directory, { recursive: true });
  });

  it('answers a worker of the Swarm', async () => {
    const { volumes, synced } = await client('w1').volumes();
    expect(synced).toBe(true);
    expect(volumes.map(({ name, state }) => [name, state])).toEqual([
      ['idle', 'Creating'],
      ['shared', 'Mounted'],
    ]);
  });

  it("refuses another Swarm's node, and one without certificate", async () => {
    await expect(client('x1').volumes()).rejects.toMatchObject({ code: 'unavailable' });
    const ca = tls.get('m1')?.ca ?? '';
    const nobody = createAdminClient({
      address: '127.0.0.1',
      port: given.server?.port ?? 0,
      tls: { cert: '', key: '', ca },
      timeoutMs: 5_000,
    });
    await expect(nobody.volumes()).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('an unknown volume is not found', async () => {
    await expect(client('m1').volume('share')).rejects.toMatchObject({
      code: 'not_found',
      message: 'no such volume: share',
    });
  });

  it('the command line shows volumes, one volume and the cluster', async () => {
    const list = await vfile('volume', 'ls');
    expect(list).toMatch(/shared +Mounted +1 +host-m1 +\d+ +512 MB of 1\.0 GB/);
    const one = await vfile('volume', 'inspect', 'shared');
    expect(one).toMatch(/Server: +host-m1 \(10\.0\.0\.1\), port \d+, epoch 3/);
    expect(one).toMatch(/Mounted on: +host-w1 \(10\.0\.0\.2\), 1 mount\(s\)/);
    expect(await vfile('status')).toMatch(/etcd: +host-m1, m2 \(joining, no vote yet\)/);
    given.healthy.delete('m1');
    expect(await vfile('status')).toMatch(/etcd: +host-m1 \(does not answer\), m2 \(joining/);
    given.etcd = { answers: false, why: 'no quorum' };
    expect(await vfile('status')).toMatch(/etcd: +does not answer: no quorum/);
    expect(await vfile('status')).toMatch(
      /Leader: +host-m1, since[\s\S]*1 Creating, 1 Mounted[\s\S]*host-m1 +10\.0\.0\.1/,
    );
  });

  it('prints JSON for scripts', async () => {
    expect(JSON.parse(await vfile('volume', 'inspect', 'shared', '--json'))).toMatchObject({
      name: 'shared',
      options: { size: '1gb' },
      baseVolume: '_vF_shared',
    });
    expect(JSON.parse(await vfile('volume', 'ls', '--json'))).toHaveLength(2);
  });

  it('a move is ordered by a manager, waited for, and taken back when it does not come', async () => {
    await expect(client('w1').move('shared', undefined)).rejects.toMatchObject({ code: 'denied' });
    await expect(client('m1').move('idle', undefined)).rejects.toMatchObject({ code: 'conflict' });
    await expect(client('m1').move('shared', 'nobody')).rejects.toMatchObject({
      code: 'not_found',
      message: 'no node nobody is alive; nodes: host-m1',
    });
    expect(await vfile('volume', 'move', 'shared', '--to', 'host-m1')).toBe(
      'shared is served from host-m1 already',
    );
    await expect(vfile('volume', 'move', 'shared', '--timeout', '1')).rejects.toMatchObject({
      code: 'timeout',
      message: 'shared was not moved within 1 s: no manager acts upon it',
    });
    expect(await given.store?.get(vfileKeys.move('shared'))).toBeUndefined();
  });

  it('a move that was carried out tells for how long nobody served', async () => {
    const { store } = given;
    if (!store) throw new Error('no store');
    const told = vfile('volume', 'move', 'shared', '--json');
    await expect.poll(() => store.get(vfileKeys.move('shared'))).toBeDefined();
    // What the leader does then, in the order in which it does it.
    const [server, status] = await Promise.all([
      store.get(vfileKeys.server('shared')),
      store.get(vfileKeys.status('shared')),
    ]);
    const last = { at: since, cause: 'moved as asked', from: 'host-m1', to: 'host-w1', claimedMs: 900 };
    await store.txn(
      [],
      [
        {
          put: vfileKeys.server('shared'),
          value: { ...(server?.value as object), node: 'w1', host: 'host-w1', epoch: 4 },
        },
        {
          put: vfileKeys.status('shared'),
          value: { ...(status?.value as object), lastFailover: { ...last, durationMs: 1_200 } },
        },
        { delete: vfileKeys.move('shared') },
      ],
    );
    expect(JSON.parse(await told)).toEqual({
      volume: 'shared',
      from: 'host-m1',
      to: 'host-w1',
      unservedMs: 1_200,
    });
    expect(await vfile('volume', 'inspect', 'shared')).toMatch(
      /Last failover: +2026.*: moved as asked; host-m1 -> host-w1, started after 0\.9 s, served after 1\.2 s/,
    );
  });

  it('an answer from old data says so', async () => {
    given.store?.goOffline();
    const told = await vfile('volume', 'ls');
    given.store?.goOnline();
    expect(told).toMatch(/may be old: .*etcd|may be old: .*reach/);
    expect(told).toContain('shared');
  });

  it('has metrics of states and failovers', async () => {
    const { request } = await import('node:https');
    const { cert, key, ca } = tls.get('m1') ?? {};
    const body = await new Promise<string>((resolve, reject) => {
      const call = request(
        {
          host: '127.0.0.1',
          port: given.server?.port,
          path: '/metrics',
          servername: 'swarm-manager',
          cert,
          key,
          ca,
        },
        (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.on('end', () => resolve(Buffer.concat(parts).toString()));
        },
      );
      call.on('error', reject);
      call.end();
    });
    expect(body).toContain('vfile_volumes{state="Mounted"} 1');
    expect(body).toContain('vfile_volumes{state="Error"} 0');
    expect(body).toContain('vfile_failovers_total 1');
    expect(body).toContain('vfile_standby_takeovers_total 1');
    expect(body).toContain('vfile_volume_standby{volume="shared"} 0');
    for (const [phase, seconds] of [
      ['order', 0.5],
      ['start', 4.5],
      ['serve', 2],
    ]) {
      expect(body).toContain(`vfile_failover_phase_seconds_sum{phase="${phase}"} ${seconds}`);
    }
    expect(body).toContain('vfile_volume_bytes{volume="shared",kind="used"} 536870912');
  });

  it('makes a volume larger for a manager, and for nobody else', async () => {
    expect(await vfile('volume', 'resize', 'shared', '2gb')).toBe('volume shared has 2gb');
    expect(await vfile('volume', 'resize', 'shared', '3gb')).toContain('its file system follows');
    expect(grown).toEqual(['_vF_shared 2gb', '_vF_shared 3gb']);
    expect(await given.store?.get(vfileKeys.spec('shared'))).toMatchObject({
      value: { options: { size: '3gb' } },
    });
    expect(JSON.parse(await vfile('volume', 'resize', 'shared', '2gb', '--json'))).toEqual({
      growing: false,
    });
    await expect(client('w1').resize('shared', '4gb')).rejects.toMatchObject({ code: 'denied' });
    await expect(vfile('volume', 'resize', 'shared', '1mb')).rejects.toThrow('volumes can only grow');
    await expect(vfile('volume', 'resize', 'shared', 'big')).rejects.toThrow('option size=big is not valid');
    await expect(vfile('volume', 'resize', 'nosuch', '4gb')).rejects.toMatchObject({ code: 'not_found' });
    expect(grown).toHaveLength(3);
  });

  it('grows neither what another driver has nor what is being removed, and leaves a clone its options', async () => {
    const store = given.store;
    if (!store) throw new Error('no store');
    const add = async (name: string, options: Record<string, string>, baseDriver = 'vdvs') => {
      const settings = { baseDriver, nfsPorts: { first: 20_490, count: 10 } };
      return (await createVolume({ store, clock, settings, node: 'm1' }, name, options)).spec;
    };
    await add('foreign', {}, 'rexray');
    await expect(vfile('volume', 'resize', 'foreign', '4gb')).rejects.toThrow('is on the driver rexray');
    const clone = await add('clone', { 'clone-from': 'shared' });
    await vfile('volume', 'resize', 'clone', '4gb');
    expect(await store.get(vfileKeys.spec('clone'))).toMatchObject({
      value: { options: { 'clone-from': 'shared' } },
    });
    await store.txn([], [{ put: vfileKeys.spec('clone'), value: { ...clone, deleting: since } }]);
    await expect(vfile('volume', 'resize', 'clone', '5gb')).rejects.toMatchObject({ code: 'busy' });
  });
});
