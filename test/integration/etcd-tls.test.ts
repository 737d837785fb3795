import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openStore } from '../../src/etcd/etcd-store.ts';
import { createMirror } from '../../src/etcd/list-watch-mirror.ts';
import type { Store } from '../../src/etcd/store.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import type { NodeIdentitySource } from '../../src/lib/node-identity.ts';
import { createSwarmCertificates } from '../../src/lib/swarm-certificates.ts';
import { type TlsFilePaths, writeTlsFiles } from '../../src/lib/tls-files.ts';
import { type RealEtcd, startEtcd } from '../contract/real-etcd.ts';
import { createSwarmCa, type TestSwarmCa } from '../contract/swarm-ca.ts';

describe('the store over mutual TLS with Swarm certificates', () => {
  const dir = mkdtempSync(join(tmpdir(), 'vfile-tls-'));
  const stops: (() => Promise<void> | void)[] = [];
  const given: { ca?: TestSwarmCa; etcd?: RealEtcd } = {};
  const ca = (): TestSwarmCa => given.ca ?? expect.fail('no authority');

  const identify = (directory: string): NodeIdentitySource => {
    const identity = createSwarmCertificates({ directory, clock: systemClock, log: silentLog, pollMs: 100 });
    stops.push(() => identity.stop());
    return identity;
  };
  const serve = async (directory: string): Promise<{ etcd: RealEtcd; tls: TlsFilePaths }> => {
    const { tls } = await identify(directory).current();
    const paths = await writeTlsFiles({ directory: join(directory, 'private'), tls, log: silentLog });
    return { etcd: await startEtcd({ tls: { ...paths } }), tls: paths };
  };
  const open = (etcd: RealEtcd, identity: NodeIdentitySource): Store => {
    const endpoints = async (): Promise<readonly string[]> => etcd.addresses;
    const store = openStore({
      identity,
      endpoints,
      clock: systemClock,
      log: silentLog,
      requestTimeoutMs: 3_000,
    });
    stops.push(() => store.close());
    return store;
  };
  const main = (): RealEtcd => given.etcd ?? expect.fail('no etcd');

  beforeAll(async () => {
    given.ca = createSwarmCa(join(dir, 'ca'));
    const manager = ca().issue({ nodeId: 'manager1', role: 'swarm-manager' });
    given.etcd = (await serve(manager)).etcd;
    const first = open(main(), identify(ca().issue({ nodeId: 'first', role: 'swarm-worker' })));
    await vi.waitFor(() => first.get('/a'), { timeout: 20_000, interval: 200 });
  });
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
  });
  afterAll(async () => {
    await given.etcd?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  it('works for a worker', async () => {
    const store = open(main(), identify(ca().issue({ nodeId: 'worker1', role: 'swarm-worker' })));
    expect((await store.txn([], [{ put: '/tls', value: { v: 1 } }])).done).toBe(true);
  });

  it('is refused without a certificate', async () => {
    const { tls } = await identify(ca().issue({ nodeId: 'worker1', role: 'swarm-worker' })).current();
    const client = new Etcd3({
      hosts: main().addresses.map((address) => `https://${address}`),
      credentials: { rootCertificate: Buffer.from(tls.ca) },
      grpcOptions: { 'grpc.ssl_target_name_override': 'swarm-manager' },
      defaultCallOptions: () => ({ deadline: Date.now() + 2_000 }),
    });
    await expect(client.get('/tls').exec()).rejects.toThrow();
    client.close();
  });

  it('is refused with a certificate of another Swarm', async () => {
    const stranger = createSwarmCa(join(dir, 'other-ca'));
    const store = open(main(), identify(stranger.issue({ nodeId: 'worker1', role: 'swarm-worker' })));
    await expect(store.get('/tls')).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('refuses a server with the certificate of a worker', async () => {
    const { etcd } = await serve(ca().issue({ nodeId: 'evil', role: 'swarm-worker' }));
    stops.push(() => etcd.stop());
    const store = open(etcd, identify(ca().issue({ nodeId: 'worker1', role: 'swarm-worker' })));
    await expect(store.get('/tls')).rejects.toThrow(/swarm-manager.*cert's altnames/s);
  });

  it('goes on over new connections when the certificate is renewed', async () => {
    const directory = ca().issue({ nodeId: 'worker2', role: 'swarm-worker' });
    const identity = identify(directory);
    const store = open(main(), identity);
    const mirror = createMirror({ store, prefix: '/renewed/', clock: systemClock, log: silentLog });
    stops.push(() => mirror.stop());
    await mirror.ready(5_000);
    const lease = await store.grantLease(2_000);
    const changed = new Promise<void>((resolve) => void identity.onChange(() => resolve()));
    const reread = new Promise<void>((resolve) => void mirror.onChange(() => resolve()));
    ca().issue({ nodeId: 'worker2', role: 'swarm-worker' });
    await changed;
    await reread;
    await store.txn([], [{ put: '/renewed/a', value: 1, lease: lease.id }]);
    await vi.waitFor(() => expect(mirror.entries.has('/renewed/a')).toBe(true));
    const until = lease.safeUntil();
    await vi.waitFor(() => expect(lease.safeUntil()).toBeGreaterThan(until), { timeout: 3_000 });
  });
});
