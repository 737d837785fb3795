import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import { movedInCircles } from '../circles.ts';
import { vfileKeys } from '../keys.ts';
import type { Read, VolumeRecords } from '../read-volume.ts';
import type { VolumeSpec, VolumeStatus } from '../types.ts';
import type { ManagerEvent } from './events.ts';
import { type Moment, nextStatus, sameStatus } from './next-status.ts';
import type { Observed, Plan, Step, VolumeMemory } from './observed.ts';
import { planVolume } from './plan-volume.ts';
import { backoffMs, remember, rememberDone, rememberFailed } from './remember.ts';
import type { Leading, StatusPatch } from './run-step.ts';

/** What the worker of a volume needs from the loop. */
export interface WorkerParts {
  readonly name: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly leading: Leading;
  /** The volume's records as of now. */
  readonly records: () => VolumeRecords;
  /** Everything else that is known, from the Swarm too. `undefined` while contact with the store is lost. */
  readonly observe: (
    records: VolumeRecords,
  ) => Promise<Omit<Observed, 'memory' | 'status' | 'inCircles' | 'now'> | undefined>;
  readonly runStep: (spec: Read<VolumeSpec>, step: Step) => Promise<StatusPatch>;
  readonly emit: (event: ManagerEvent) => void;
  /** Called once when the volume is gone. */
  readonly gone: () => void;
}

/** Steps whose effect comes back through the mirror; until then the same step would be planned again. */
const storeSteps: ReadonlySet<Step['do']> = new Set([
  'forget',
  'askToStop',
  'clearMove',
  'clearDeleting',
  'dropMount',
]);
const mirrorLagMs = 200;
/** After an order to Swarm: look for what came of it. */
const afterOrderMs = 100;
const forEver = Number.POSITIVE_INFINITY;

/**
 * Brings one volume to its desired state: look at everything, plan, do one step, write the status, look again.
 *
 * Concurrency: one look at a time, begun by `wake()` or by the time that the last look set. A wake during a look makes
 * another look follow it, so nothing is missed. The worker is the only writer of the status while its manager leads, so
 * it goes by what it wrote last, not by the mirror, which may lag.
 */
export class VolumeWorker {
  readonly #parts: WorkerParts;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #memory: VolumeMemory = {};
  #status: VolumeStatus | undefined;
  #woken = false;
  #pause: AbortController | undefined;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#status = parts.records().status?.value;
    this.#done = this.#run();
  }

  /** Look at the volume (again). */
  wake(): void {
    this.#woken = true;
    this.#pause?.abort();
  }

  /** Resolves when the look under way has ended. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#pause?.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#woken = false;
      const spec = this.#parts.records().spec;
      if (!spec) {
        this.#parts.emit({ type: 'gone', volume: this.#parts.name });
        this.#parts.gone();
        return;
      }
      await this.#sleep(await this.#lookSafely());
    }
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#woken || this.#stop.signal.aborted) return;
    const pause = new AbortController();
    this.#pause = pause;
    if (ms === forEver) {
      await new Promise((resolve) => pause.signal.addEventListener('abort', resolve, { once: true }));
    } else {
      // Rejects only when cut short.
      await this.#parts.clock.sleep(ms, pause.signal).catch(() => undefined);
    }
    this.#pause = undefined;
  }

  /** @returns after how many ms to look again; errors are remembered and lead to longer and longer pauses. */
  async #lookSafely(): Promise<number> {
    const at = { step: 'looking' };
    try {
      return await this.#look(at);
    } catch (thrown) {
      const error = toVolumeError(thrown);
      const { message } = error;
      this.#memory = rememberFailed(this.#memory, at.step, error);
      const attempt = this.#memory.failed?.attempts ?? 1;
      this.#parts.emit({ type: 'failed', volume: this.#parts.name, step: at.step, message, attempt });
      if (at.step === 'looking') await this.#tellBlind(message);
      return backoffMs(this.#memory);
    }
  }

  async #look(at: { step: string }): Promise<number> {
    const { clock, observe, records } = this.#parts;
    const seen = await observe(records());
    if (!seen) return forEver;
    const now = clock.monotonic();
    const inCircles = movedInCircles(this.#status, clock.now());
    const input = { ...seen, status: this.#status, inCircles, now };
    this.#memory = remember(input, this.#memory);
    const observed: Observed = { ...input, memory: this.#memory };
    const plan = planVolume(observed);
    const moment: Moment = { wall: clock.now(), monotonic: now };
    if (plan.kind !== 'step') {
      this.#memory = forgetFailure(this.#memory);
      at.step = 'writing the status';
      await this.#write(nextStatus(observed, plan, moment));
      return plan.lookAfterMs === undefined ? forEver : Math.max(1, plan.lookAfterMs);
    }
    // A failover must not wait for a status to be written; all else says first what it is about to do.
    const urgent = plan.step.do === 'replaceTask';
    if (!urgent) await this.#write(nextStatus(observed, plan, moment));
    at.step = plan.step.do;
    await this.#act(observed, plan, plan.step);
    if (urgent) {
      at.step = 'writing the status';
      await this.#write(nextStatus(observed, plan, moment));
    }
    if (storeSteps.has(plan.step.do)) return mirrorLagMs;
    return urgent ? afterOrderMs : 0;
  }

  async #act(observed: Observed, plan: Plan, step: Step): Promise<void> {
    const { clock, runStep, emit, name } = this.#parts;
    const begun = clock.monotonic();
    const patch = await runStep(observed.spec, step);
    const ended = clock.monotonic();
    this.#memory = rememberDone(this.#memory, step, ended);
    emit({ type: 'step', volume: name, step: step.do, reason: plan.reason, durationMs: ended - begun });
    if (Object.keys(patch).length > 0 && this.#status) await this.#write({ ...this.#status, ...patch });
  }

  /** While the Swarm cannot be asked nothing can be done: say so, with the state that is certain. */
  async #tellBlind(message: string): Promise<void> {
    const status = this.#status;
    const { mounts, server } = this.#parts.records();
    if (!status) return;
    const lost = mounts.length > 0 && !server && status.server !== undefined;
    const state = lost ? 'Failing over' : status.state;
    const since = state === status.state ? status.since : new Date(this.#parts.clock.now()).toISOString();
    // Telling is all this is for; when it fails too, the next look tells.
    await this.#write({ ...status, state, since, reason: message }).catch(() => undefined);
  }

  async #write(status: VolumeStatus): Promise<void> {
    const before = this.#status;
    if (before && sameStatus(before, status)) return;
    const { store, leading, name, emit } = this.#parts;
    const { done } = await store.txn(
      [leading.condition, { key: vfileKeys.spec(name), is: 'present' }],
      [{ put: vfileKeys.status(name), value: status }],
    );
    if (!done) throw new VolumeError('conflict', 'the volume is gone or this manager does not lead any more');
    this.#status = status;
    if (before?.state !== status.state) {
      const { state: to, reason } = status;
      emit({ type: 'state', volume: name, from: before?.state, to, reason });
    }
    const { lastFailover } = status;
    const known = before?.lastFailover;
    const isNew = known?.durationMs === undefined || known.at !== lastFailover?.at;
    if (lastFailover?.durationMs !== undefined && isNew) {
      emit({ type: 'failover', volume: name, record: lastFailover });
    }
  }
}

function forgetFailure(memory: VolumeMemory): VolumeMemory {
  const { failed: _failed, ...kept } = memory;
  return kept;
}
