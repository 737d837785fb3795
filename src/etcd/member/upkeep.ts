import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { ClusterAdmin, OwnStatus } from './cluster-admin.ts';
import { planUpkeep, trackUpkeep, type UpkeepStep, type UpkeepTimes } from './plan-upkeep.ts';
import type { MemberSettings } from './settings.ts';

/** What one round of upkeep needs. */
export interface UpkeepOptions {
  readonly self: string;
  readonly peerUrl: string;
  readonly settings: MemberSettings;
  readonly log: Log;
  /** All members. */
  readonly cluster: ClusterAdmin;
  /** The Swarm's managers, confirmed by its quorum. @throws when it does not answer. */
  readonly managers: () => Promise<readonly string[]>;
}

/** Keeps the membership in order while the member runs; one instance for each run of etcd. */
export class Upkeep {
  readonly #options: UpkeepOptions;
  #since: UpkeepTimes = { departed: new Map(), stalled: new Map() };
  #said = '';

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** Looks at everything and does at most one step. @returns whether to look again soon. */
  async round(own: OwnStatus | undefined, now: number): Promise<boolean> {
    const { self, peerUrl, settings, cluster } = this.#options;
    const view = await cluster.view(4_000);
    if (!view.answers) {
      this.#say(`the cluster does not answer: ${view.why}`);
      return true;
    }
    const { members } = view;
    const mine = members.find((member) => member.id === own?.memberId);
    // Only who leads removes others: the rest need neither ask the Swarm nor the members.
    const managers = own?.leader ? await this.#managers() : undefined;
    const suspects =
      own?.leader &&
      members.some((m) => m.learner || !m.started || (managers && !managers.includes(m.nodeId)));
    // Each is asked only when a removal is at stake.
    const healthy = suspects ? await cluster.healthy(members) : new Set(members.map((member) => member.id));
    this.#since = trackUpkeep(this.#since, { members, managers, healthy, now });
    const { departedMs, joinMs } = settings;
    const since = this.#since;
    await this.#act(
      planUpkeep({ self, peerUrl, own, members, managers, healthy, since, now, departedMs, joinMs }),
    );
    return mine === undefined || mine.learner;
  }

  async #act(step: UpkeepStep): Promise<void> {
    const { cluster, log } = this.#options;
    try {
      switch (step.do) {
        case 'promote':
          await cluster.promote(step.memberId);
          log.info('member has its vote now', { member: step.memberId });
          break;
        case 'update':
          await cluster.update(step.memberId, step.peerUrl);
          log.info('address of the member changed', { member: step.memberId, peerUrl: step.peerUrl });
          break;
        case 'remove':
          await cluster.remove(step.memberId);
          log.warn('member removed from the cluster', { member: step.memberId, why: step.reason });
          break;
        case 'nothing':
          this.#say(step.reason);
      }
    } catch (thrown) {
      this.#say(`${step.do}: ${toVolumeError(thrown).message}`);
    }
  }

  async #managers(): Promise<readonly string[] | undefined> {
    try {
      return await this.#options.managers();
    } catch (thrown) {
      this.#options.log.debug('the Swarm does not answer', { why: toVolumeError(thrown).message });
      return undefined;
    }
  }

  /** Says a thing once, not in each round. */
  #say(what: string): void {
    if (what !== '' && what !== this.#said) this.#options.log.info('membership', { what });
    this.#said = what;
  }
}
