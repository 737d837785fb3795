import type { Clock } from '../lib/clock.ts';
import { toVolumeError, VolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { NfsNull } from '../lib/nfs-null.ts';
import type { EndOnce } from './ending.ts';
import { didNothing, type Life } from './process-life.ts';
import type { WriteProbe } from './write-probe.ts';

/** Pause between the calls that wait for a starting server to answer, in ms. */
const firstAnswerPauseMs = 20;

/** What looking after a server needs. */
export interface HealthOptions {
  readonly address: string;
  readonly port: number;
  readonly nfsNull: NfsNull;
  readonly writeProbe: WriteProbe;
  /** Whether the disk is there. */
  readonly attached: () => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
  /** Calls in a row that a server misses without a sign of life until it counts as hung. */
  readonly probeMisses: number;
  /** So long a server that shows signs of life may leave calls unanswered, ms. */
  readonly hangMs: number;
  /** What the kernel tells of the server's process; `stopped` while this task itself has stopped it. */
  readonly life: () => Life | 'stopped' | undefined;
  readonly writeProbeIntervalMs: number;
  readonly writeProbeTimeoutMs: number;
}

/**
 * Resolves when a server whose turn has come answers, or `end` is over.
 * @throws VolumeError `timeout`, at once when it does nothing although it was called several times.
 */
export async function firstAnswer(options: HealthOptions, timeoutMs: number, end: EndOnce): Promise<void> {
  const { clock, nfsNull, address, port, probeTimeoutMs, probeMisses, life } = options;
  const began = clock.monotonic();
  let lifeless = 0;
  while (!end.signal.aborted) {
    const before = life();
    const calledAt = clock.monotonic();
    try {
      await nfsNull(address, port, probeTimeoutMs);
      return;
    } catch (error) {
      const now = clock.monotonic();
      // One that refuses the call at once is on its way: it has no socket yet.
      if (now - calledAt >= probeTimeoutMs) lifeless = sleptThrough(before, life()) ? lifeless + 1 : 0;
      if (now - began >= timeoutMs || lifeless > probeMisses) {
        const { message } = toVolumeError(error);
        const how = lifeless > 0 ? ' and does nothing' : '';
        throw new VolumeError(
          'timeout',
          `ganesha does not serve ${Math.round(now - began)} ms after its start${how}: ${message}`,
        );
      }
    }
    await clock.sleep(firstAnswerPauseMs, end.signal).catch(() => undefined);
  }
}

type Look = ReturnType<HealthOptions['life']>;

/** Whether it did nothing between two looks, and not because this task had stopped it. */
function sleptThrough(before: Look, after: Look): boolean {
  return before !== 'stopped' && after !== 'stopped' && didNothing(before, after);
}

/**
 * Calls the server again and again; ends it as crashed when it hangs. A process that sleeps while it is called will not wake
 * up, so that is soon decided; one that works or wants to gets `hangMs`, because on a busy host to kill it would only make
 * things worse.
 */
export async function watchAnswers(options: HealthOptions, end: EndOnce): Promise<void> {
  const { clock, log, nfsNull, address, port, life } = options;
  const pause = (ms: number) => clock.sleep(ms, end.signal).catch(() => undefined);
  let lifeless = 0;
  let answeredAt = clock.monotonic();
  await pause(options.probeIntervalMs);
  while (!end.signal.aborted) {
    const began = clock.monotonic();
    const before = life();
    try {
      await nfsNull(address, port, options.probeTimeoutMs);
      lifeless = 0;
      answeredAt = clock.monotonic();
      await pause(options.probeIntervalMs);
    } catch (error) {
      // Refused at once, it says no more than after the whole time.
      await pause(Math.max(0, options.probeTimeoutMs - (clock.monotonic() - began)));
      if (end.signal.aborted) return;
      const after = life();
      if (before === 'stopped' || after === 'stopped') {
        lifeless = 0;
        answeredAt = clock.monotonic();
        continue;
      }
      lifeless = didNothing(before, after) ? lifeless + 1 : 0;
      const silentMs = Math.round(clock.monotonic() - answeredAt);
      const reason = toVolumeError(error).message;
      log.warn('the server missed an answer', { silentMs, lifeless, reason });
      if (lifeless < options.probeMisses && silentMs < options.hangMs) continue;
      const how = lifeless > 0 ? 'it does nothing' : 'it is busy';
      end.end({
        kind: 'crash',
        reason: `ganesha hangs: no answer for ${silentMs} ms, and ${how}; ${reason}`,
      });
    }
  }
}

/**
 * Writes to the disk once. `full` is said once per change, and no reason to end.
 * @throws VolumeError `unavailable` when the disk does not take it.
 */
export async function proveWritable(options: HealthOptions, text: string): Promise<'writable' | 'full'> {
  const { writeProbe, writeProbeTimeoutMs } = options;
  try {
    return await writeProbe(text, writeProbeTimeoutMs);
  } catch (error) {
    const { message } = toVolumeError(error);
    throw new VolumeError('unavailable', message, { cause: error });
  }
}

/** Writes to the disk again and again; a disk that does not take it ends this task: another host may reach it. */
export async function watchDisk(options: HealthOptions, text: string, end: EndOnce): Promise<void> {
  const { clock, log } = options;
  let last = 'writable';
  while (!end.signal.aborted) {
    await clock.sleep(options.writeProbeIntervalMs, end.signal).catch(() => undefined);
    if (end.signal.aborted) return;
    try {
      const found = await proveWritable(options, text);
      if (found !== last) log.warn(found === 'full' ? 'the volume is full' : 'the volume has room again');
      last = found;
    } catch (error) {
      end.end({ kind: 'fatal', code: 'unavailable', reason: toVolumeError(error).message });
    }
  }
}

/**
 * Looks again and again whether the disk is still there; without it this task can do nothing but end. The write probe would
 * notice too, but it comes seldom, and a volume that is exported for reading only has none.
 */
export async function watchAttachment(options: HealthOptions, end: EndOnce): Promise<void> {
  const { clock, attached, probeIntervalMs } = options;
  while (!end.signal.aborted) {
    await clock.sleep(probeIntervalMs, end.signal).catch(() => undefined);
    if (end.signal.aborted || (await attached())) continue;
    end.end({ kind: 'fatal', code: 'unavailable', reason: 'the disk was taken away from this host' });
  }
}
