import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './free-port.ts';

/** One etcd process. */
export interface RealMember {
  readonly name: string;
  /** `host:port` for clients. */
  readonly address: string;
  /** Stops the process in its tracks, as a host that lost power does for those who talk to it; resolves when it stands. */
  freeze(): Promise<void>;
  thaw(): void;
  kill(): Promise<void>;
  start(): void;
}

/** An etcd cluster on loopback, in a directory of its own. */
export interface RealEtcd {
  readonly members: readonly RealMember[];
  readonly addresses: readonly string[];
  stop(): Promise<void>;
}

/** Files for servers that accept only clients with a certificate; plain text when absent. */
export interface RealEtcdTls {
  cert: string;
  key: string;
  ca: string;
}

/** Whether all threads of a process are stopped. */
function stands(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) =>
      /^State:\t[TZX]/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')),
    );
  } catch {
    // A thread ended between the two looks.
    return false;
  }
}

function createMember(name: string, address: string, args: string[], running: Set<ChildProcess>): RealMember {
  const slot: { child?: ChildProcess } = {};
  const signal = (which: NodeJS.Signals): void => void slot.child?.kill(which);
  return {
    name,
    address,
    freeze: async () => {
      signal('SIGSTOP');
      // On a busy machine the others of its threads go on until the one that got the signal has its turn.
      while (slot.child?.pid !== undefined && !stands(slot.child.pid)) await delay(1);
    },
    thaw: () => signal('SIGCONT'),
    kill: async () => {
      const { child } = slot;
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      running.delete(child);
    },
    start: () => {
      slot.child = spawn(process.env.TEST_ETCD ?? 'etcd', args, {
        stdio: 'ignore',
        env: { ...process.env, ETCD_UNSUPPORTED_ARCH: '' },
      });
      running.add(slot.child);
    },
  };
}

/** Starts `size` members (default 1); they need a moment to elect a leader, which a store's first call waits for. */
export async function startEtcd({
  size = 1,
  tls,
}: {
  size?: number;
  tls?: RealEtcdTls;
} = {}): Promise<RealEtcd> {
  const dir = mkdtempSync(join(tmpdir(), 'vfile-etcd-'));
  const running = new Set<ChildProcess>();
  const scheme = tls ? 'https' : 'http';
  const names = Array.from({ length: size }, (_, index) => `m${index + 1}`);
  const ports = await Promise.all(
    names.map(async () => ({ client: await freePort(), peer: await freePort() })),
  );
  const peerUrl = (index: number): string => `http://127.0.0.1:${ports[index]?.peer}`;
  const cluster = names.map((name, index) => `${name}=${peerUrl(index)}`).join(',');
  const members = names.map((name, index) => {
    const address = `127.0.0.1:${ports[index]?.client}`;
    const args = [
      ...['--name', name, '--data-dir', join(dir, name), '--initial-cluster', cluster],
      ...[
        '--listen-client-urls',
        `${scheme}://${address}`,
        '--advertise-client-urls',
        `${scheme}://${address}`,
      ],
      ...['--listen-peer-urls', peerUrl(index), '--initial-advertise-peer-urls', peerUrl(index)],
      ...['--heartbeat-interval', '50', '--election-timeout', '500', '--grpc-keepalive-min-time', '500ms'],
      ...['--unsafe-no-fsync', '--log-level', 'error'],
      ...(tls
        ? ['--cert-file', tls.cert, '--key-file', tls.key, '--trusted-ca-file', tls.ca, '--client-cert-auth']
        : []),
    ];
    return createMember(name, address, args, running);
  });
  for (const member of members) member.start();
  return {
    members,
    addresses: members.map((member) => member.address),
    stop: async () => {
      await Promise.all(members.map((member) => member.kill()));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
