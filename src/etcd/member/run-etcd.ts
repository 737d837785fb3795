import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { Run } from '../../lib/exec.ts';
import { hostPort } from '../../lib/host-port.ts';
import type { Log } from '../../lib/log.ts';
import type { NodeIdentity, NodeIdentitySource } from '../../lib/node-identity.ts';
import { writeTlsFiles } from '../../lib/tls-files.ts';
import type { Swarm } from '../../swarm/swarm.ts';
import { ClusterAdmin, type OwnStatus } from './cluster-admin.ts';
import { type EtcdProcess, readEtcdVersion, startEtcdProcess } from './etcd-process.ts';
import type { MemberStep } from './plan-member.ts';
import { peerUrlOf, renderFlags } from './render-flags.ts';
import type { MemberSettings } from './settings.ts';
import type { Surroundings } from './surroundings.ts';
import type { Manager } from './types.ts';
import { Upkeep } from './upkeep.ts';

/** What one run of etcd needs. */
export interface EtcdRunOptions {
  readonly start: Extract<MemberStep, { do: 'start' }>;
  readonly identity: NodeIdentity;
  readonly identities: NodeIdentitySource;
  readonly address: string;
  readonly dataDir: string;
  readonly settings: MemberSettings;
  readonly surroundings: Surroundings;
  readonly swarm: Pick<Swarm, 'nodes'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly run: Run;
  /** Called when the member answers: what it is, and which managers are known, must survive a restart. */
  readonly onAlive: (own: OwnStatus, managers: readonly Manager[]) => Promise<void>;
}

/** How long etcd gets to hand over leadership and end, in ms; less than Docker's own patience. */
const stopMs = 7_000;
/** Pauses between rounds of upkeep, in ms. */
const calmMs = 15_000;
const busyMs = 1_000;
/** After a change of the Swarm's root certificate members restart within this time, not all at once. */
const rootChangeMs = 30_000;

class EtcdRun {
  readonly #options: EtcdRunOptions;
  readonly #own: ClusterAdmin;
  readonly #all: ClusterAdmin;
  /** Why etcd must be started anew. */
  #restart: string | undefined;

  constructor(options: EtcdRunOptions) {
    this.#options = options;
    const { identities: identity, clock, log, address, settings, surroundings } = options;
    const parts = { identity, clock, log };
    this.#own = new ClusterAdmin({
      ...parts,
      endpoints: async () => [hostPort(address, settings.clientPort)],
    });
    this.#all = new ClusterAdmin({ ...parts, endpoints: async () => surroundings.addresses('all') });
  }

  async toItsEnd(child: EtcdProcess, signal: AbortSignal): Promise<void> {
    const { log, identities } = this.#options;
    const over = new AbortController();
    const ended = child.exited.finally(() => over.abort());
    const unfollow = identities.onChange((identity) => this.#certificateChanged(identity, over));
    try {
      await this.#attend(AbortSignal.any([signal, over.signal]));
      if (signal.aborted) await this.#linger(over.signal);
    } finally {
      unfollow();
      this.#own.close();
      this.#all.close();
      await child.stop(stopMs);
    }
    const how = await ended;
    if (signal.aborted) log.info('etcd stopped', { how });
    else log.warn('etcd ended', { how, why: this.#restart ?? 'by itself; see its last lines above' });
  }

  async #linger(over: AbortSignal): Promise<void> {
    const { clock, log, settings } = this.#options;
    if (settings.lingerMs > 0)
      log.info('asked to stop: going on for those who stop too', { ms: settings.lingerMs });
    await clock.sleep(settings.lingerMs, over).catch(() => undefined);
  }

  async #attend(signal: AbortSignal): Promise<void> {
    const { clock, log, surroundings, address, identity, settings } = this.#options;
    const upkeep = new Upkeep({
      self: identity.nodeId,
      peerUrl: peerUrlOf(identity.nodeId, settings.peerPort),
      settings,
      log,
      cluster: this.#all,
      managers: async () => {
        const nodes = await this.#options.swarm.nodes();
        return nodes.filter((node) => node.role === 'manager').map((node) => node.id);
      },
    });
    while (!signal.aborted) {
      let busy = true;
      try {
        const local = await surroundings.refresh(surroundings.managers);
        if (local.address !== address) {
          this.#restart = `the node's address changed from ${address} to ${local.address}`;
          return;
        }
        const own = await this.#own.status();
        if (own) await this.#options.onAlive(own, surroundings.managers);
        busy = await upkeep.round(own, clock.monotonic());
      } catch (thrown) {
        log.warn('upkeep failed', { why: toVolumeError(thrown).message });
      }
      await clock.sleep(busy ? busyMs : calmMs, signal).catch(() => undefined);
    }
  }

  /** etcd reads certificate and key anew for each handshake, but the root only at its start. */
  #certificateChanged(identity: NodeIdentity, over: AbortController): void {
    const { settings, log, clock } = this.#options;
    writeTlsFiles({ directory: settings.private, tls: identity.tls, log }).catch((thrown: unknown) =>
      log.error('cannot write the new certificate for etcd', { why: toVolumeError(thrown).message }),
    );
    if (identity.tls.ca === this.#options.identity.tls.ca) return;
    const delay = Math.random() * rootChangeMs;
    log.info('root certificate of the Swarm changed: etcd will restart', { inMs: Math.round(delay) });
    clock.sleep(delay, over.signal).then(
      () => {
        this.#restart = 'the root certificate of the Swarm changed';
        over.abort();
      },
      () => undefined,
    );
  }
}

/**
 * Runs etcd until it ends, must be started anew, or the signal is aborted; it has ended when this resolves. After the signal it
 * goes on for `lingerMs`: when a node is drained all of its tasks are told to stop at once, and its file servers hand over
 * through this member.
 */
export async function runEtcd(options: EtcdRunOptions, signal: AbortSignal): Promise<void> {
  const { settings, identity, log, start, address, dataDir, run } = options;
  const version = await readEtcdVersion(run, settings.binary);
  const tls = await writeTlsFiles({ directory: settings.private, tls: identity.tls, log });
  const token = `vfile-${identity.clusterId}`;
  const flags = renderFlags({
    nodeId: identity.nodeId,
    address,
    dataDir,
    tls,
    token,
    version,
    start,
    settings,
  });
  if (signal.aborted) return;
  log.info('starting etcd', { with: start.with, address });
  const running = new EtcdRun(options);
  await running.toItsEnd(startEtcdProcess(settings.binary, flags), signal);
}
