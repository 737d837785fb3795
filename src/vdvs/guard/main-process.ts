import type { ChildProcess } from 'node:child_process';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { NodeGuard } from './guard.ts';
import { type FromGuard, type ToGuard, toGuardSchema } from './messages.ts';

/** A main process, and the messages that it sent while nobody listened yet. */
export interface Forked {
  readonly child: ChildProcess;
  readonly early: unknown[];
}

/** The plugin's main process, as a child of the guard. */
export interface MainProcess {
  tell(message: FromGuard): void;
  /** Starts it, and again whenever it ends. */
  start(guard: () => NodeGuard | undefined): void;
  /** Asks it to close all volumes; resolves when it has, has ended, or `ms` have passed. Then it is killed. */
  stop(ms: number): Promise<void>;
}

/** ms before a restart: the first one nearly at once, then doubled up to the longest; a life this long starts anew. */
const backoff = { firstMs: 100, longestMs: 5_000, healthyMs: 30_000 } as const;

/** Supervises the main process: `first`, which runs already, and what `fork` starts after it. */
export function createMainProcess(parts: {
  first: Forked;
  fork: () => Forked;
  onEndpoints: (endpoints: readonly string[]) => void;
  clock: Clock;
  log: Log;
}): MainProcess {
  const { clock, log } = parts;
  const state = {
    child: undefined as ChildProcess | undefined,
    stopping: false,
    pauseMs: backoff.firstMs as number,
  };
  const stopped = new Set<() => void>();

  const tell = (message: FromGuard) => {
    if (state.child?.connected) state.child.send(message);
  };

  const handle = async (guard: NodeGuard | undefined, message: ToGuard) => {
    if (message.type === 'endpoints') return parts.onEndpoints(message.endpoints);
    if (message.type === 'stopped') {
      for (const callback of stopped) callback();
      return;
    }
    const { seq } = message;
    try {
      if (!guard) throw new Error('the guard is not ready');
      let ok = true;
      if (message.type === 'protect') guard.protect(message, message.lease);
      else if (message.type === 'release') guard.release(message.mountpoint);
      else ok = await guard.shutdown(message);
      tell({ type: 'answer', seq, ok });
    } catch (thrown) {
      tell({ type: 'answer', seq, ok: false, error: toVolumeError(thrown).message });
    }
  };

  const supervise = ({ child, early }: Forked, guard: () => NodeGuard | undefined) => {
    const began = clock.monotonic();
    state.child = child;
    const take = (raw: unknown) => {
      const parsed = toGuardSchema.safeParse(raw);
      if (parsed.success) void handle(guard(), parsed.data);
      else log.error('message from the main process is not understood', { error: parsed.error.message });
    };
    child.removeAllListeners('message').on('message', take);
    for (const message of early.splice(0)) take(message);
    // A message that could not be delivered: the exit that follows is what counts.
    child.on('error', (error) => log.warn('main process', { error: error.message }));
    child.once('exit', (code, signal) => {
      for (const callback of stopped) callback();
      if (state.stopping) return;
      if (clock.monotonic() - began >= backoff.healthyMs) state.pauseMs = backoff.firstMs;
      log.error('main process ended, starting it again', { code, signal, pauseMs: state.pauseMs });
      void clock.sleep(state.pauseMs).then(() => {
        if (!state.stopping) supervise(parts.fork(), guard);
      });
      state.pauseMs = Math.min(state.pauseMs * 2, backoff.longestMs);
    });
    guard()?.greet();
  };

  return {
    tell,
    start: (guard) => supervise(parts.first, guard),
    async stop(ms) {
      state.stopping = true;
      const { child } = state;
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const done = new AbortController();
      stopped.add(() => done.abort());
      tell({ type: 'stop' });
      await clock.sleep(ms, done.signal).catch(() => undefined);
      child.kill('SIGKILL');
    },
  };
}
