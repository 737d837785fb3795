import type { Mirror } from '../etcd/mirror.ts';
import type { Clock } from '../lib/clock.ts';
import { VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { vfileKeys } from '../vfile/keys.ts';
import type { VolumeFiles } from './volume-files.ts';

/** How often the disk is looked for, in ms: one look costs next to nothing, and clients wait for it. */
const lookMs = 50;
/** So long a volume must have been without a server until a standby that cannot see the disk arrive gives way. In ms. */
const unservedMs = 5_000;

/** What standing by needs. */
export interface StandByOptions {
  readonly volume: string;
  /** Mirror of the volume's keys, synced. */
  readonly mirror: Mirror;
  readonly files: Pick<VolumeFiles, 'attached' | 'receivesMounts'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Waits until the volume's disk is there, however long that takes: one host at a time gets it, so its arrival says that it is
 * this task's turn to serve.
 * @throws VolumeError `not_found` when the volume is gone; `unavailable` when the disk can never appear in this container
 *   and nobody serves the volume: the next container is given the disk by Docker. Rejects when `signal` is aborted.
 */
export async function standBy(options: StandByOptions): Promise<void> {
  const { volume, mirror, files, clock, log, signal } = options;
  const began = clock.monotonic();
  const visible = await files.receivesMounts();
  log.info('standing by until the disk arrives');
  if (!visible) log.warn('the disk cannot appear in this container: its mounts do not follow the host');
  let servedAt = began;
  while (!(await files.attached())) {
    const now = clock.monotonic();
    const { entries, synced } = mirror;
    if (synced && !entries.has(vfileKeys.spec(volume))) {
      throw new VolumeError('not_found', `there is no volume ${volume} any more`);
    }
    if (!synced || entries.has(vfileKeys.server(volume))) servedAt = now;
    if (!visible && now - servedAt >= unservedMs) {
      throw new VolumeError(
        'unavailable',
        `nobody serves volume ${volume}, and its disk cannot appear in this container: a new one is needed`,
      );
    }
    await clock.sleep(lookMs, signal);
  }
  log.info('the disk has arrived', { waitedMs: Math.round(clock.monotonic() - began) });
}
