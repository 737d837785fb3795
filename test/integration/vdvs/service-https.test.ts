import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMemoryStore } from '../../../src/etcd/memory-store.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLog } from '../../../src/lib/log.ts';
import type { NodeIdentitySource } from '../../../src/lib/node-identity.ts';
import { createSwarmCertificates } from '../../../src/lib/swarm-certificates.ts';
import { openBackends } from '../../../src/vdvs/backends/open-backends.ts';
import { createHttpsJson } from '../../../src/vdvs/https-json.ts';
import { createService } from '../../../src/vdvs/service/start-service.ts';
import { createServiceClient } from '../../../src/vdvs/service-client.ts';
import { createSwarmCa, type TestNode, type TestSwarmCa } from '../../contract/swarm-ca.ts';

describe('the connection to the vDVS service', () => {
  let dir: string;
  let ca: TestSwarmCa;
  let ends: (() => unknown)[];
  const identityOf = (authority: TestSwarmCa, node: TestNode): NodeIdentitySource => {
    const source = createSwarmCertificates({
      directory: authority.issue(node),
      clock: systemClock,
      log: silentLog,
      pollMs: 50,
    });
    ends.push(() => source.stop());
    return source;
  };
  const serve = async (identity: NodeIdentitySource): Promise<number> => {
    const store = createMemoryStore({ clock: systemClock });
    const service = createService({
      store,
      backends: openBackends(new Map([['ds', dir]]), {}),
      identity,
      host: '127.0.0.1',
      port: 0,
      takeoverMarginMs: 0,
      nodes: async () => [],
      creatorOf: async () => undefined,
      clock: systemClock,
      log: silentLog,
    });
    const port = await service.listen();
    ends.push(
      () => service.close(),
      () => store.close(),
    );
    return port;
  };
  const clientOf = (identity: NodeIdentitySource, port: number) => {
    const https = createHttpsJson({ identity });
    ends.push(() => https.close());
    const endpoints = async () => [{ host: '127.0.0.1', port }];
    return createServiceClient({ https, endpoints, host: 'ann', clock: systemClock });
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'vdvs-https-'));
    ca = createSwarmCa(join(dir, 'ca'));
    ends = [];
  });
  afterEach(async () => {
    for (const end of ends.reverse()) await end();
    rmSync(dir, { recursive: true });
  });

  const manager: TestNode = { nodeId: 'm1', role: 'swarm-manager' };
  const worker: TestNode = { nodeId: 'w1', role: 'swarm-worker' };

  it('serves a node of the Swarm, and knows it by its certificate', async () => {
    const port = await serve(identityOf(ca, manager));
    const client = clientOf(identityOf(ca, worker), port);
    const { record } = await client.create({ datastore: 'ds', name: 'v' }, { size: '1gb' });
    expect(record).toMatchObject({ name: 'v', createdBy: 'ann', phase: 'ready' });
    expect((await client.list()).map((view) => view.record.name)).toEqual(['v']);
    // Leases are the store's; one that it does not know is refused there.
    await expect(client.attach({ datastore: 'ds', name: 'v' }, '12345', 0)).rejects.toThrow();
  });

  it('refuses a caller without a certificate', async () => {
    const port = await serve(identityOf(ca, manager));
    const answer = new Promise((resolve, reject) => {
      const sent = request(
        { host: '127.0.0.1', port, path: '/v1/volumes', rejectUnauthorized: false },
        resolve,
      );
      sent.on('error', reject);
      sent.end();
    });
    await expect(answer).rejects.toThrow();
  });

  it('refuses a node of another Swarm', async () => {
    const port = await serve(identityOf(ca, manager));
    const strangers = createSwarmCa(join(dir, 'other'));
    const client = clientOf(identityOf(strangers, worker), port);
    await expect(client.list()).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('does not believe a worker that it is a manager', async () => {
    const port = await serve(identityOf(ca, worker));
    const client = clientOf(identityOf(ca, { nodeId: 'w2', role: 'swarm-worker' }), port);
    await expect(client.list()).rejects.toThrow(/swarm-manager/);
  });

  it('follows renewed certificates on both sides', async () => {
    const serverIdentity = identityOf(ca, manager);
    const clientIdentity = identityOf(ca, worker);
    const port = await serve(serverIdentity);
    const client = clientOf(clientIdentity, port);
    await client.list();
    const renewed = [serverIdentity, clientIdentity].map(
      (source) => new Promise<void>((resolve) => source.onChange(() => resolve())),
    );
    ca.issue(manager);
    ca.issue(worker);
    await Promise.all(renewed);
    expect(await client.list()).toEqual([]);
  });
});
