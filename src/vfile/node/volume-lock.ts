import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';

/** One at a time for each volume, in the order of asking. */
export interface VolumeLock {
  /**
   * Runs `work` when it is its turn.
   * @throws VolumeError `timeout` naming what it waited for, when its turn does not come within `timeoutMs`; `work` is
   *   not run then.
   */
  run<T>(volume: string, options: { what: string; timeoutMs: number }, work: () => Promise<T>): Promise<T>;
}

interface Queue {
  holder: string;
  readonly waiting: { readonly what: string; readonly go: () => void }[];
}

/** A lock for this process. */
export function createVolumeLock({ clock }: { clock: Clock }): VolumeLock {
  const queues = new Map<string, Queue>();

  const acquire = async (volume: string, what: string, timeoutMs: number): Promise<void> => {
    const queue = queues.get(volume);
    if (!queue) {
      queues.set(volume, { holder: what, waiting: [] });
      return;
    }
    const turn = new AbortController();
    const place = { what, go: () => turn.abort() };
    queue.waiting.push(place);
    const late = await clock.sleep(timeoutMs, turn.signal).then(
      () => true,
      () => false,
    );
    if (!late || turn.signal.aborted) return;
    queue.waiting.splice(queue.waiting.indexOf(place), 1);
    throw new VolumeError(
      'timeout',
      `volume ${volume}: ${what} waited ${Math.round(timeoutMs / 1000)} s for ${queue.holder}`,
    );
  };

  const release = (volume: string): void => {
    const queue = queues.get(volume);
    const next = queue?.waiting.shift();
    if (queue && next) {
      queue.holder = next.what;
      next.go();
    } else queues.delete(volume);
  };

  return {
    async run(volume, { what, timeoutMs }, work) {
      await acquire(volume, what, timeoutMs);
      try {
        return await work();
      } finally {
        release(volume);
      }
    },
  };
}
