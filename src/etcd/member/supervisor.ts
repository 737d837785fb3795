import { randomUUID } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Run } from '../../lib/exec.ts';
import type { Log } from '../../lib/log.ts';
import type { NodeIdentity, NodeIdentitySource } from '../../lib/node-identity.ts';
import type { LocalNode, Swarm } from '../../swarm/swarm.ts';
import { ClusterAdmin, type OwnStatus } from './cluster-admin.ts';
import { DataDirectory } from './data-directory.ts';
import { type MemberStep, planMember } from './plan-member.ts';
import { peerUrlOf } from './render-flags.ts';
import { runEtcd } from './run-etcd.ts';
import type { MemberSettings } from './settings.ts';
import { Surroundings } from './surroundings.ts';
import { type Claim, claimName, claimSchema, type Manager, type MemberState } from './types.ts';

/** What keeping a member needs. */
export interface MemberSupervisorOptions {
  readonly settings: MemberSettings;
  readonly identity: NodeIdentitySource;
  readonly swarm: Pick<Swarm, 'local' | 'nodes' | 'claimConfig'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly run: Run;
}

const shortestPauseMs = 500;
const longestPauseMs = 2_000;
/**
 * How long the other members are asked before they count as silent. Being wrong is harmless: data start as they are, and
 * without data the claim decides.
 */
const viewMs = 2_000;
/** An etcd that ran for this long ended for a new reason: the next start need not wait. */
const longRunMs = 60_000;

/** What is known of this node in one pass. */
interface Here {
  readonly local: LocalNode;
  readonly identity: NodeIdentity;
  readonly state: MemberState;
  readonly hasData: boolean;
}

/**
 * Brings this manager's etcd member up and keeps it: looks at everything, asks the pure planner for the next step, does
 * it, looks again. What it must know is on disk, in the Swarm and in the cluster, so it can die at any line.
 *
 * Concurrency: one loop; etcd and its upkeep run inside of one of its steps.
 */
class MemberSupervisor {
  readonly #options: MemberSupervisorOptions;
  readonly #data: DataDirectory;
  readonly #surroundings: Surroundings;
  readonly #others: ClusterAdmin;
  #said = '';

  constructor(options: MemberSupervisorOptions) {
    this.#options = options;
    const { identity, clock, log } = options;
    this.#data = new DataDirectory(options.settings.data);
    this.#surroundings = new Surroundings(options);
    const endpoints = async (): Promise<readonly string[]> => this.#surroundings.addresses('others');
    this.#others = new ClusterAdmin({ identity, clock, log, endpoints });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let pause = shortestPauseMs;
    try {
      while (!signal.aborted) {
        const began = clock.monotonic();
        const pausing = await this.#pass(signal);
        if (!pausing || clock.monotonic() - began > longRunMs) pause = shortestPauseMs;
        if (!pausing) continue;
        await clock.sleep(pause, signal).catch(() => undefined);
        pause = Math.min(pause * 2, longestPauseMs);
      }
    } finally {
      this.#others.close();
    }
  }

  /** One look and one step. @returns whether to pause before the next; never rejects. */
  async #pass(signal: AbortSignal): Promise<boolean> {
    try {
      const here = await this.#look();
      const step = await this.#plan(here);
      await this.#do(step, here, signal);
      // Progress is followed up at once; waiting and an etcd that ended are not.
      return step.do === 'wait' || step.do === 'start';
    } catch (thrown) {
      this.#say('etcd member cannot be brought up yet', toVolumeError(thrown).message);
      return true;
    }
  }

  async #look(): Promise<Here> {
    const identity = await this.#options.identity.current();
    const known = await this.#data.readState();
    const before = known ?? { v: 1, nodeId: identity.nodeId, hadData: false, managers: [] };
    const local = await this.#surroundings.refresh(before.managers);
    if (identity.role !== 'swarm-manager' || !local.isManager) {
      throw new VolumeError(
        'unavailable',
        `node ${identity.nodeId} is no manager (certificate: ${identity.role})`,
      );
    }
    const hasData = await this.#data.hasData();
    const state = {
      ...before,
      hadData: before.hadData || hasData,
      managers: [...this.#surroundings.managers],
    };
    await this.#save(state, known);
    return { local, identity, state, hasData };
  }

  async #save(state: MemberState, before: MemberState | undefined): Promise<void> {
    if (JSON.stringify(state) !== JSON.stringify(before)) await this.#data.writeState(state);
  }

  async #plan({ identity, state, hasData }: Here): Promise<MemberStep> {
    const alone = this.#surroundings.addresses('others').length === 0;
    const cluster = alone
      ? ({ answers: false, why: 'there is no other manager' } as const)
      : await this.#others.view(viewMs);
    const { managers } = this.#surroundings;
    const situation = { self: identity.nodeId, state, hasData, cluster, managers, claim: undefined };
    const step = planMember(situation);
    if (step.do !== 'claim') return step;
    // Durable before it is used: a claim that bears this nonce is ours, whatever happens in between.
    const claiming = { ...state, nonce: state.nonce ?? randomUUID() };
    await this.#save(claiming, state);
    return planMember({ ...situation, state: claiming, claim: await this.#claim(identity, claiming.nonce) });
  }

  async #claim(identity: NodeIdentity, nonce: string): Promise<Claim> {
    const claim: Claim = { v: 1, node: identity.nodeId, nonce };
    const labels = { 'org.vfile.cluster': identity.clusterId };
    const text = await this.#options.swarm.claimConfig(claimName, JSON.stringify(claim), labels);
    try {
      return claimSchema.parse(JSON.parse(text));
    } catch (cause) {
      throw new VolumeError('internal', `Swarm config ${claimName} holds something else: ${text}`, { cause });
    }
  }

  async #do(step: MemberStep, here: Here, signal: AbortSignal): Promise<void> {
    const { log, settings, clock } = this.#options;
    const { nodeId } = here.identity;
    switch (step.do) {
      case 'wait':
        this.#say('waiting', step.reason);
        break;
      case 'claim':
        break;
      case 'add':
        log.info('joining the cluster', { node: nodeId });
        await this.#others.addLearner(peerUrlOf(nodeId, settings.peerPort));
        break;
      case 'remove':
        log.warn('removing the former member of this node', { member: step.memberId, why: step.reason });
        await this.#others.remove(step.memberId);
        await this.#forget(here);
        break;
      case 'set-aside':
        log.warn('data set aside', { why: step.reason, kept: await this.#data.setAside(clock.now()) });
        await this.#forget(here);
        break;
      case 'start':
        this.#said = '';
        await this.#start(step, here, signal);
    }
  }

  /** From now on this node is as one that never had a member. */
  async #forget({ identity, state }: Here): Promise<void> {
    await this.#data.writeState({ v: 1, nodeId: identity.nodeId, hadData: false, managers: state.managers });
  }

  async #start(start: Extract<MemberStep, { do: 'start' }>, here: Here, signal: AbortSignal): Promise<void> {
    const { settings, swarm, clock, log, run } = this.#options;
    const saved = { state: await this.#data.readState() };
    const onAlive = async (own: OwnStatus, managers: readonly Manager[]): Promise<void> => {
      const { memberId, clusterId } = own;
      const before = saved.state ?? here.state;
      const state = { ...before, hadData: true, memberId, clusterId, managers: [...managers] };
      await this.#save(state, saved.state);
      saved.state = state;
    };
    const { identity, local } = here;
    await runEtcd(
      {
        ...{ start, identity, identities: this.#options.identity, address: local.address },
        ...{
          dataDir: this.#data.etcd,
          settings,
          surroundings: this.#surroundings,
          swarm,
          clock,
          log,
          run,
          onAlive,
        },
      },
      signal,
    );
  }

  /** Says a thing once, not in each pass. */
  #say(what: string, why: string): void {
    if (why !== this.#said) this.#options.log.warn(what, { why });
    this.#said = why;
  }
}

/** Keeps this manager's etcd member until the signal is aborted; etcd has ended when it resolves. */
export function superviseMember(options: MemberSupervisorOptions, signal: AbortSignal): Promise<void> {
  return new MemberSupervisor(options).run(signal);
}
