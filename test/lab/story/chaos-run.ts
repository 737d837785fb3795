import { toVolumeError } from '../../../src/lib/errors.ts';
import { createVolume, inspect, reachUnused, removeVolume, whole } from '../fixture.ts';
import type { Lab } from '../tool/lab.ts';
import { healAll } from './chaos-events.ts';
import { type EventKind, planRounds, type Round } from './chaos-plan.ts';
import type { ChaosResult, RoundResult } from './chaos-report.ts';
import { playRound, type Stage } from './chaos-round.ts';
import { Clients } from './clients.ts';
import { nothingLeftBehind } from './left-behind.ts';
import { LostContacts } from './lost-contacts.ts';

/** What a run is made with. */
export interface ChaosOptions {
  readonly lab: Lab;
  readonly seed: number;
  readonly minutes: number;
  readonly only: readonly EventKind[];
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** A volume is used for so many rounds; then it is checked and removed, and the next one is made. */
const roundsInChapter = 10;
/** ms between two rounds of a client. */
const pauseMs = 100;

class Chaos {
  readonly #options: ChaosOptions;
  readonly #plan: Iterator<Round, never>;
  readonly #end: number;
  readonly #rounds: RoundResult[] = [];
  readonly #findings: string[] = [];
  #records = 0;
  #turns = 0;

  constructor(options: ChaosOptions) {
    const { seed, lab, only, minutes } = options;
    this.#options = options;
    this.#plan = planRounds({ seed, hosts: lab.hostNames, only });
    this.#end = performance.now() + minutes * 60_000;
  }

  get result(): ChaosResult {
    const [rounds, findings] = [[...this.#rounds], [...this.#findings]];
    return { seed: this.#options.seed, rounds, records: this.#records, turns: this.#turns, findings };
  }

  async run(): Promise<void> {
    for (let number = 1; this.#goesOn(); number++) await this.#chapter(number);
  }

  /** Until its time is over or something is wrong: what follows a failure says little. */
  #goesOn(): boolean {
    return performance.now() < this.#end && this.#findings.length === 0 && !this.#options.signal.aborted;
  }

  async #chapter(number: number): Promise<void> {
    const { lab, say, signal } = this.#options;
    const [fstype, volume] = [number % 2 === 1 ? 'ext4' : 'xfs', `chaos-${number}`];
    const contacts = new LostContacts();
    const clients = new Clients({ lab, volume, hosts: lab.hostNames, pauseMs });
    const stage: Stage = { lab, volume, clients, say, signal, contacts };
    say(`volume ${volume} on ${fstype}`);
    await this.#attempt(`${volume}: start`, async () => {
      await createVolume(lab, 'node1', volume, { size: '400mb', fstype });
      await clients.start();
      await clients.progress(lab.hostNames, 5, 120_000);
    });
    for (let round = 0; round < roundsInChapter && this.#goesOn(); round++) await this.#round(stage);
    if (!signal.aborted) await this.#close(stage);
  }

  async #round(stage: Stage): Promise<void> {
    const round = this.#plan.next().value;
    await this.#attempt(`round ${round.number}`, async () => {
      const { result, findings } = await playRound(stage, round);
      if (result) this.#rounds.push(result);
      this.#findings.push(...findings.map((finding) => `round ${round.number}: ${finding}`));
    });
    if (this.#findings.length > 0) await this.#tellStatus(stage);
  }

  /** Heals everything, lets the clients end, compares, cleans up. */
  async #close(stage: Stage): Promise<void> {
    const { lab, volume, clients, contacts, say } = stage;
    const hosts = lab.hostNames;
    this.#findings.push(...(await healAll(stage)));
    await this.#attempt(`${volume}: the clients' end`, async () => {
      await whole(lab, 240_000);
      for (const host of hosts) await clients.revive(host, 120_000);
      await clients.stop(hosts, 120_000);
    });
    await this.#attempt(`${volume}: check`, async () => {
      const problems = await clients.check('node2', {
        powerCut: true,
        mayFail: (name, at) => contacts.mayFail(name, at),
      });
      const diaries = await Promise.all(hosts.map((host) => clients.diary(host)));
      this.#records += diaries.reduce((total, { acks }) => total + acks.length, 0);
      this.#turns += diaries.reduce((total, { turns }) => total + turns.length, 0);
      this.#findings.push(...problems.map((problem) => `${volume}: ${problem}`));
      const repeated = diaries.flatMap((diary) => diary.repeated);
      if (repeated.length > 0) {
        say(`requests carried out whose answer was lost with a server: ${repeated.join(', ')}`);
      }
      say(`${volume}: ${problems.length} problems in what the clients wrote and saw`);
    });
    // What something is wrong with is left as it is, to be looked at.
    if (this.#findings.length > 0) return;
    await this.#attempt(`${volume}: removal`, async () => {
      await clients.remove(hosts);
      await reachUnused(lab, 'node1', volume);
      await removeVolume(lab, 'node1', volume);
      await nothingLeftBehind(lab, 90_000);
    });
  }

  async #tellStatus({ lab, volume, say }: Stage): Promise<void> {
    for (const host of lab.hostNames) {
      const status = await inspect(lab, host, volume).catch(
        (thrown: unknown) => toVolumeError(thrown).message,
      );
      say(`${host}: ${JSON.stringify(status)}`);
    }
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      if (this.#options.signal.aborted) return;
      this.#findings.push(`${what}: ${toVolumeError(thrown).message}`);
    }
  }
}

/**
 * Strikes at random until the time is over or something is wrong, with clients at work on all hosts; then heals everything and
 * compares what was acknowledged with what is there. Never throws for what it finds.
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const chaos = new Chaos(options);
  await chaos.run();
  return chaos.result;
}
