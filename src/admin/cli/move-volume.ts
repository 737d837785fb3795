import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import type { AdminClient } from './admin-client.ts';

/** What became of a move. */
export interface Moved {
  readonly volume: string;
  readonly from: string;
  readonly to: string;
  /** For how long nobody served the volume, ms; absent when nothing had to be done. */
  readonly unservedMs?: number;
}

/** What a move needs. */
export interface MoveOptions {
  readonly api: AdminClient;
  readonly volume: string;
  /** Host name or ID of a node; any other when absent. */
  readonly to: string | undefined;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Told what is waited for, whenever it changes. */
  readonly say: (text: string) => void;
}

const pollMs = 250;

/**
 * Asks for a move and waits until another server serves. What has not begun by the deadline is taken back.
 * @throws VolumeError `timeout` with the reason, `conflict` when it came to another node; what the API refuses.
 */
export async function moveVolume(options: MoveOptions): Promise<Moved> {
  const { api, volume, to, timeoutMs, clock, say } = options;
  const { move } = await api.move(volume, to);
  if (move.already) return { volume, from: move.from, to: move.from };
  const deadline = clock.monotonic() + timeoutMs;
  for (let said = ''; ; ) {
    const { volume: now } = await api.volume(volume);
    const { server, reason, lastFailover } = now;
    // The leader ends the move, and closes the record of how long it took, a moment after the server shows.
    if (server && server.epoch > move.epoch && !now.moving) {
      if (move.to !== undefined && server.host !== move.to) {
        throw new VolumeError('conflict', `${volume} is served from ${server.host} now, not from ${move.to}`);
      }
      const unservedMs = lastFailover?.durationMs;
      const moved = { volume, from: move.from, to: server.host };
      return unservedMs === undefined ? moved : { ...moved, unservedMs };
    }
    if (reason !== '' && reason !== said) say(reason);
    if (reason !== '') said = reason;
    if (clock.monotonic() >= deadline) {
      await api.withdrawMove(volume);
      const why = said === '' ? 'no manager acts upon it' : said;
      throw new VolumeError('timeout', `${volume} was not moved within ${timeoutMs / 1_000} s: ${why}`);
    }
    await clock.sleep(pollMs);
  }
}
