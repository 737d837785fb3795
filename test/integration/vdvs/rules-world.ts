import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createVdvsAdminClient } from '../../../src/admin/vdvs-cli/client.ts';
import { createVdvsProgram, throwInsteadOfExit } from '../../../src/admin/vdvs-cli/program.ts';
import { openStore } from '../../../src/etcd/etcd-store.ts';
import type { Store } from '../../../src/etcd/store.ts';
import { systemClock as clock } from '../../../src/lib/clock.ts';
import { silentLog as log } from '../../../src/lib/log.ts';
import type { NodeIdentitySource } from '../../../src/lib/node-identity.ts';
import { createSwarmCertificates } from '../../../src/lib/swarm-certificates.ts';
import { openBackends } from '../../../src/vdvs/backends/open-backends.ts';
import { createHttpsJson } from '../../../src/vdvs/https-json.ts';
import { createService } from '../../../src/vdvs/service/start-service.ts';
import { createServiceClient, type ServiceClient } from '../../../src/vdvs/service-client.ts';
import { startEtcd } from '../../contract/real-etcd.ts';
import { createSwarmCa } from '../../contract/swarm-ca.ts';

/** A node of the Swarm as the services see it: a certificate, and a lease for its attachments. */
export interface RulesNode {
  readonly id: string;
  readonly host: string;
  /** A client of each service. */
  readonly at: readonly ServiceClient[];
  readonly client: ServiceClient;
  readonly lease: string;
}

/** Three services over a real etcd, nodes with certificates, and the administrator's command line. */
export interface RulesWorld {
  readonly dir: string;
  readonly store: Store;
  /** Of the first service. */
  readonly port: number;
  /** Folder of the manager's certificate. */
  readonly certificates: string;
  readonly nodes: readonly [RulesNode, RulesNode, RulesNode];
  /** Node ID of the creator of a shared volume, by its base volume. */
  readonly creators: Map<string, string>;
  /** What the command line prints; `as` may be the ID of another node. */
  vdvs(...args: string[]): Promise<string>;
  vdvsAs(node: string, ...args: string[]): Promise<string>;
  end(): Promise<void>;
}

const serviceCount = 3;

export async function startRulesWorld(): Promise<RulesWorld> {
  const dir = mkdtempSync(join(tmpdir(), 'vdvs-rules-'));
  const ca = createSwarmCa(join(dir, 'ca'));
  const ends: (() => unknown)[] = [() => rmSync(dir, { recursive: true, force: true })];
  const identities = new Map<string, NodeIdentitySource>();
  const identityOf = (nodeId: string, role: 'swarm-manager' | 'swarm-worker') => {
    const directory = ca.issue({ nodeId, role });
    const identity = createSwarmCertificates({ directory, clock, log });
    identities.set(nodeId, identity);
    ends.push(() => identity.stop());
    return identity;
  };
  const etcd = await startEtcd();
  ends.push(() => etcd.stop());
  const open = () => {
    const endpoints = async () => etcd.addresses;
    const store = openStore({ identity: undefined, endpoints, clock, log, requestTimeoutMs: 5_000 });
    ends.push(() => store.close());
    return store;
  };
  const folders = ['fast', 'slow'].map((name) => [name, join(dir, name)] as const);
  for (const [, folder] of folders) mkdirSync(folder);
  const creators = new Map<string, string>();
  const ids = ['w1', 'w2', 'w3'] as const;
  const ports: number[] = [];
  const manager = identityOf('m1', 'swarm-manager');
  for (let index = 0; index < serviceCount; index += 1) {
    const service = createService({
      store: open(),
      backends: openBackends(new Map(folders), {}),
      identity: manager,
      host: '127.0.0.1',
      port: 0,
      takeoverMarginMs: 0,
      nodes: async () => ids.map((id) => ({ id, host: `host-${id}` })),
      creatorOf: async (base) => creators.get(base),
      clock,
      log,
    });
    ports.push(await service.listen());
    ends.push(() => service.close());
  }
  const store = open();
  const httpsOf = (identity: NodeIdentitySource) => {
    const https = createHttpsJson({ identity });
    ends.push(() => https.close());
    return https;
  };
  const nodeOf = async (id: string): Promise<RulesNode> => {
    const https = httpsOf(identityOf(id, 'swarm-worker'));
    const host = `host-${id}`;
    const at = ports.map((port) =>
      createServiceClient({ https, endpoints: async () => [{ host: '127.0.0.1', port }], host, clock }),
    );
    const [client] = at;
    if (!client) throw new Error('no service');
    const lease = await store.grantLease(60_000);
    ends.push(() => lease.release());
    return { id, host, at, client, lease: lease.id };
  };
  const vdvsAs = async (node: string, ...args: string[]): Promise<string> => {
    const identity = identities.get(node);
    if (!identity) throw new Error(`no node ${node}`);
    const printed: string[] = [];
    const https = createHttpsJson({ identity });
    const program = createVdvsProgram({
      connect: async () =>
        createVdvsAdminClient({
          https,
          host: '127.0.0.1',
          port: ports[0] ?? 0,
          timeoutMs: 30_000,
          asker: 'desk',
          clock,
        }),
      print: (text) => printed.push(text),
      warn: (text) => printed.push(text),
      confirm: async () => undefined,
      version: '0',
    });
    throwInsteadOfExit(program);
    try {
      await program.parseAsync(['node', 'vdvs', ...args]);
    } finally {
      https.close();
    }
    return printed.join('\n');
  };
  const nodes = await Promise.all([nodeOf('w1'), nodeOf('w2'), nodeOf('w3')]);
  return {
    dir,
    store,
    port: ports[0] ?? 0,
    certificates: join(dir, 'ca', 'm1'),
    nodes,
    creators,
    vdvs: (...args) => vdvsAs('m1', ...args),
    vdvsAs,
    async end() {
      for (const end of ends.reverse()) await end();
    },
  };
}
