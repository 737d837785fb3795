import type { Election, Leadership } from '../../etcd/election.ts';
import { toVolumeError } from '../../lib/errors.ts';
import { type LoopParts, ManagerLoop } from './manager-loop.ts';

/** What a manager needs. */
export interface ManagerParts extends Omit<LoopParts, 'leading'> {
  readonly election: Election;
}

/** How long a new leader waits for its copies of the store before it begins; it acts on nothing while they lack. */
const copiesMs = 5_000;

function lost(leadership: Leadership, signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (signal.aborted) resolve('stopping');
      else if (leadership.lost.aborted) resolve(toVolumeError(leadership.lost.reason).message);
    };
    leadership.lost.addEventListener('abort', look, { once: true });
    signal.addEventListener('abort', look, { once: true });
    look();
  });
}

/**
 * Campaigns, leads, and campaigns again when leadership is lost, until `signal` is aborted. On the way out it finishes the
 * steps under way and resigns, so that another manager leads at once.
 */
export async function runManager(parts: ManagerParts, signal: AbortSignal): Promise<void> {
  const { election, emit, volumesMirror, nodesMirror } = parts;
  while (!signal.aborted) {
    const leadership = await election.campaign(signal).catch((thrown) => {
      if (signal.aborted) return undefined;
      throw thrown;
    });
    if (!leadership) return;
    emit({ type: 'leading' });
    // Not having them is no error: the loop does nothing until they come, and says so every round.
    await Promise.allSettled([volumesMirror.ready(copiesMs), nodesMirror.ready(copiesMs)]);
    const loop = new ManagerLoop({ ...parts, leading: leadership });
    const why = await lost(leadership, signal);
    await loop.stop();
    await leadership.resign().catch(() => undefined);
    emit({ type: 'following', why });
  }
}
