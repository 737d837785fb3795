import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openStore } from '../../src/etcd/etcd-store.ts';
import { ClusterAdmin } from '../../src/etcd/member/cluster-admin.ts';
import { readMemberSettings } from '../../src/etcd/member/settings.ts';
import { superviseMember } from '../../src/etcd/member/supervisor.ts';
import type { Member } from '../../src/etcd/member/types.ts';
import type { Store } from '../../src/etcd/store.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { run } from '../../src/lib/exec.ts';
import { createLog, silentLog } from '../../src/lib/log.ts';
import type { NodeIdentitySource } from '../../src/lib/node-identity.ts';
import { createSwarmCertificates } from '../../src/lib/swarm-certificates.ts';
import { freePort } from '../contract/free-port.ts';
import { createSwarmCa, type TestSwarmCa } from '../contract/swarm-ca.ts';
import { FakeSwarm } from './fake-swarm.ts';

interface Running {
  stop: AbortController;
  done: Promise<void>;
}

/** Host names of the test's own; the members' supervisors themselves put them into the machine's hosts file. */
const nodes = ['vfiletest-n1', 'vfiletest-n2', 'vfiletest-n3'] as const;
const addresses = new Map<string, string>(nodes.map((node, index) => [node, `127.0.0.${index + 2}`]));
const address = (node: string): string => addresses.get(node) ?? '';
const hostsFile = '/etc/hosts';

/** The process of a node's etcd. */
function pidOf(node: string): number {
  const pid = readdirSync('/proc').find((name) => {
    try {
      return (
        /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(`\0--name=${node}\0`)
      );
    } catch {
      return false;
    }
  });
  return pid ? Number(pid) : expect.fail(`no etcd of ${node} runs`);
}

describe('etcd members of a Swarm', () => {
  const hostsBefore = readFileSync(hostsFile, 'utf8');
  const dir = mkdtempSync(join(tmpdir(), 'vfile-members-'));
  const swarm = new FakeSwarm();
  const running = new Map<string, Running>();
  const identities = new Map<string, NodeIdentitySource>();
  const given: { ca?: TestSwarmCa; store?: Store; admin?: ClusterAdmin; env: Record<string, string> } = {
    env: {},
  };
  const log = process.env.VERBOSE
    ? createLog({ level: 'debug', process: 'test', maxSizeMb: 1, maxFiles: 1, maxAgeDays: 1 })
    : silentLog;

  const start = (node: string, more: Record<string, string> = {}): void => {
    const identity = identities.get(node);
    if (!identity) throw new Error(`no identity of ${node}`);
    const settings = readMemberSettings({
      ...given.env,
      ...more,
      VFILE_ETCD_DATA: join(dir, node, 'data'),
      VFILE_ETCD_PRIVATE: join('/dev/shm', dir.slice(dir.lastIndexOf('/') + 1), node),
    });
    const stop = new AbortController();
    const parts = {
      settings,
      identity,
      swarm: swarm.at(node),
      clock: systemClock,
      log: log.child({ node }),
      run,
    };
    running.set(node, { stop, done: superviseMember(parts, stop.signal) });
  };
  const stop = async (node: string): Promise<void> => {
    const one = running.get(node);
    one?.stop.abort();
    await one?.done;
    running.delete(node);
  };
  const store = (): Store => given.store ?? expect.fail('no store');
  const members = async (): Promise<readonly Member[]> => {
    const view = await given.admin?.view(4_000);
    return view?.answers ? view.members : expect.fail(view?.why ?? 'no view');
  };
  /** Nodes whose members do not answer. */
  const silent = async (): Promise<string[]> => {
    const all = await members();
    const healthy = (await given.admin?.healthy(all)) ?? expect.fail('no admin');
    return all.filter(({ id }) => !healthy.has(id)).map(({ nodeId }) => nodeId);
  };
  /** A member that was made a voter just now may need a moment. */
  const allAnswer = async (): Promise<void> =>
    await vi.waitFor(async () => expect(await silent()).toEqual([]), { timeout: 20_000, interval: 300 });
  const voters = async (wanted: readonly string[]): Promise<void> => {
    await vi.waitFor(
      async () => {
        const now = (await members()).map((m) => [m.nodeId, m.started, m.learner]).sort();
        expect(now).toEqual(wanted.map((node) => [node, true, false]));
      },
      { timeout: 50_000, interval: 300 },
    );
  };

  beforeAll(async () => {
    const ca = createSwarmCa(join(dir, 'ca'));
    given.ca = ca;
    given.env = {
      VFILE_ETCD_CLIENT_PORT: String(await freePort('127.0.0.2')),
      VFILE_ETCD_PEER_PORT: String(await freePort('127.0.0.2')),
      VFILE_ETCD_LISTEN_ALSO: ',',
      VFILE_ETCD_BINARY: process.env.TEST_ETCD ?? 'etcd',
      VFILE_ETCD_HEARTBEAT_MS: '50',
      VFILE_ETCD_ELECTION_MS: '500',
      VFILE_ETCD_DEPARTED_SECONDS: '5',
      VFILE_ETCD_LINGER_MS: '0',
      VFILE_ETCD_HOSTS_FILE: hostsFile,
      VFILE_ETCD_LOG_LEVEL: process.env.VERBOSE ? 'warn' : 'error',
    };
    for (const node of nodes) {
      const directory = ca.issue({ nodeId: node, role: 'swarm-manager' });
      identities.set(node, createSwarmCertificates({ directory, clock: systemClock, log: silentLog }));
      swarm.set(node, address(node));
    }
    const directory = ca.issue({ nodeId: 'worker', role: 'swarm-worker' });
    const identity = createSwarmCertificates({ directory, clock: systemClock, log: silentLog });
    identities.set('worker', identity);
    const endpoints = async (): Promise<string[]> =>
      nodes.map((node) => `${address(node)}:${given.env.VFILE_ETCD_CLIENT_PORT}`);
    const parts = { identity, endpoints, clock: systemClock, log: silentLog };
    given.store = openStore({ ...parts, requestTimeoutMs: 10_000 });
    given.admin = new ClusterAdmin(parts);
  });
  afterAll(async () => {
    await Promise.all([...running.keys()].map(stop));
    await given.store?.close();
    given.admin?.close();
    for (const identity of identities.values()) identity.stop();
    writeFileSync(hostsFile, hostsBefore);
    rmSync(dir, { recursive: true, force: true });
    rmSync(join('/dev/shm', dir.slice(dir.lastIndexOf('/') + 1)), { recursive: true, force: true });
  });
  afterEach(() => {
    swarm.quorum = true;
  });

  it('form one cluster by themselves when all start at once', async () => {
    for (const node of nodes) start(node);
    await voters(nodes);
    expect((await store().txn([], [{ put: '/test/a', value: { v: 1 } }])).done).toBe(true);
    expect(swarm.configs.size).toBe(1);
  });

  it('speak with managers only as peers', async () => {
    const statusAs = async (who: string): Promise<number | undefined> => {
      const { tls } = (await identities.get(who)?.current()) ?? expect.fail(`no identity of ${who}`);
      const port = Number(given.env.VFILE_ETCD_PEER_PORT);
      const options = {
        host: address(nodes[0]),
        port,
        path: '/members',
        servername: nodes[0],
        ...tls,
        agent: false,
      };
      return new Promise((resolve, reject) => {
        get(options, (answer) => resolve(answer.resume().statusCode)).on('error', reject);
      });
    };
    expect(await statusAs(nodes[1])).toBe(200);
    await expect(statusAs('worker')).rejects.toThrow();
  });

  it('come back with their data when all restart at once, without asking the Swarm', async () => {
    await Promise.all(nodes.map(stop));
    swarm.quorum = false;
    for (const node of nodes) start(node);
    await vi.waitFor(async () => expect((await store().get('/test/a'))?.value).toEqual({ v: 1 }), {
      timeout: 40_000,
    });
    await voters(nodes);
  });

  it('go on without one of them, and take it back', async () => {
    await allAnswer();
    await stop(nodes[0]);
    expect((await store().txn([], [{ put: '/test/b', value: { v: 1 } }])).done).toBe(true);
    expect(await silent()).toEqual([nodes[0]]);
    start(nodes[0]);
    await voters(nodes);
    await allAnswer();
  });

  it('go on for a while when they are told to stop, for those who stop too', async () => {
    await stop(nodes[0]);
    start(nodes[0], { VFILE_ETCD_LINGER_MS: '6000' });
    await voters(nodes);
    await allAnswer();
    const told = performance.now();
    const stopped = stop(nodes[0]);
    await allAnswer();
    // Still the one that was told to stop, and not the next.
    expect(performance.now() - told).toBeLessThan(5_900);
    await stopped;
    expect(performance.now() - told).toBeGreaterThan(5_900);
    start(nodes[0]);
    await voters(nodes);
  });

  it('are led from another node when told so, unless one of them does not answer', async () => {
    const admin = given.admin ?? expect.fail('no admin');
    const leader = async () => {
      const [all, status] = [await members(), await admin.status()];
      return all.find(({ id }) => id === status?.leaderId)?.nodeId;
    };
    await allAnswer();
    const before = await leader();
    for (const node of nodes.filter((one) => one !== before)) {
      await admin.moveLeader(node);
      await vi.waitFor(async () => expect(await leader()).toBe(node), { timeout: 5_000, interval: 100 });
      await admin.moveLeader(node);
    }
    await stop(nodes[0]);
    await expect(admin.moveLeader(nodes[1])).rejects.toMatchObject({
      code: 'unavailable',
      message: `members of etcd do not answer: ${nodes[0]}`,
    });
    start(nodes[0]);
    await voters(nodes);
  });

  it('start a member again whose process died', async () => {
    const before = pidOf(nodes[2]);
    process.kill(before, 'SIGKILL');
    await vi.waitFor(() => expect(pidOf(nodes[2])).not.toBe(before), { timeout: 20_000, interval: 100 });
    await voters(nodes);
  });

  it('follow a node to a new address', async () => {
    addresses.set(nodes[0], '127.0.0.9');
    swarm.set(nodes[0], address(nodes[0]));
    const moved = `127.0.0.9:${given.env.VFILE_ETCD_CLIENT_PORT}`;
    await vi.waitFor(
      async () =>
        expect((await members()).find((m) => m.nodeId === nodes[0])?.clientAddresses).toEqual([moved]),
      { timeout: 30_000, interval: 300 },
    );
    await voters(nodes);
    expect(readFileSync(hostsFile, 'utf8')).toContain(`127.0.0.9\t${nodes[0]}`);
  });

  it('replace a member whose disk was lost by a new one', async () => {
    await stop(nodes[1]);
    const before = (await members()).find((member) => member.nodeId === nodes[1])?.id;
    rmSync(join(dir, nodes[1]), { recursive: true, force: true });
    start(nodes[1]);
    await vi.waitFor(
      async () => expect((await members()).find((member) => member.nodeId === nodes[1])?.id).not.toBe(before),
      { timeout: 40_000, interval: 300 },
    );
    await voters(nodes);
    expect(before).toBeDefined();
  });

  it('remove the member of a node that is no manager any more, and take it anew after promotion', async () => {
    await stop(nodes[2]);
    swarm.set(nodes[2], address(nodes[2]), 'worker');
    await voters([nodes[0], nodes[1]]);
    swarm.set(nodes[2], address(nodes[2]));
    start(nodes[2]);
    await voters(nodes);
    const kept = readdirSync(join(dir, nodes[2], 'data')).filter((name) => name.startsWith('removed-'));
    expect(kept).toHaveLength(1);
    expect((await store().get('/test/b'))?.value).toEqual({ v: 1 });
  });
});
