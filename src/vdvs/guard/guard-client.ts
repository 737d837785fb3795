import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Guard } from '../node/guard-port.ts';
import { type FromGuard, fromGuardSchema, type ToGuard } from './messages.ts';

/** Messages to and from the guard's process. */
export interface GuardChannel {
  send(message: ToGuard): void;
  onMessage(callback: (message: unknown) => void): void;
}

/** The guard, from the main process. */
export interface GuardClient extends Guard {
  /** The lease that the guard holds, or `undefined` when what an earlier life left is shut down by now. */
  settled(): Promise<string | undefined>;
  /** Aborted when the lease is lost; a new one from then on. */
  leaseSignal(): AbortSignal;
  /** The plugin is to end: close all volumes, then call `stopped`. */
  onStop(callback: () => void): void;
  stopped(): void;
  /** Passes on where etcd is. */
  endpoints(endpoints: readonly string[]): void;
}

/** ms: the guard answers from memory, except for a shutdown. */
const answerMs = 10_000;

/** See `GuardClient`. */
export function createGuardClient(parts: { channel: GuardChannel; clock: Clock; log: Log }): GuardClient {
  const { channel, clock, log } = parts;
  const state = {
    seq: 0,
    lease: undefined as string | undefined,
    why: 'the guard has not answered yet',
    generation: new AbortController(),
  };
  const answers = new Map<number, (answer: Extract<FromGuard, { type: 'answer' }>) => void>();
  const fenced = new Set<(reason: string) => void>();
  const stopping = new Set<() => void>();
  const leaseWaiters = new Set<() => void>();
  let settle: (lease: string | undefined) => void = () => undefined;
  const settled = new Promise<string | undefined>((resolve) => {
    settle = resolve;
  });

  const receive = (message: FromGuard) => {
    switch (message.type) {
      case 'answer':
        answers.get(message.seq)?.(message);
        return;
      case 'lease':
        state.lease = message.lease;
        settle(message.lease);
        for (const wake of [...leaseWaiters]) wake();
        return;
      case 'waiting':
        state.why = message.reason;
        return;
      case 'fenced':
        state.lease = undefined;
        state.why = message.reason;
        state.generation.abort(new VolumeError('unavailable', `this node lost its lease: ${message.reason}`));
        state.generation = new AbortController();
        settle(undefined);
        for (const callback of fenced) callback(message.reason);
        return;
      case 'stop':
        for (const callback of stopping) callback();
        return;
    }
  };
  channel.onMessage((raw) => {
    const parsed = fromGuardSchema.safeParse(raw);
    if (parsed.success) receive(parsed.data);
    else log.error('message from the guard is not understood', { error: parsed.error.message });
  });

  const ask = async (message: (seq: number) => ToGuard): Promise<Extract<FromGuard, { type: 'answer' }>> => {
    state.seq += 1;
    const seq = state.seq;
    const answered = new AbortController();
    const answer = new Promise<Extract<FromGuard, { type: 'answer' }>>((resolve) =>
      answers.set(seq, resolve),
    );
    const late = clock.sleep(answerMs, answered.signal).then((): never => {
      throw new VolumeError('timeout', `the guard did not answer within ${answerMs / 1_000} s`);
    });
    channel.send(message(seq));
    try {
      return await Promise.race([answer, late]);
    } finally {
      answers.delete(seq);
      answered.abort();
    }
  };

  const leaseOrLater = async (timeoutMs: number): Promise<void> => {
    const woken = new AbortController();
    const wake = () => woken.abort();
    leaseWaiters.add(wake);
    await clock.sleep(timeoutMs, woken.signal).catch(() => undefined);
    leaseWaiters.delete(wake);
  };

  return {
    settled: () => settled,
    leaseSignal: () => state.generation.signal,
    lossOf: (lease) => (lease === state.lease ? state.generation.signal : AbortSignal.abort()),
    async lease(timeoutMs) {
      if (state.lease === undefined) await leaseOrLater(timeoutMs);
      if (state.lease !== undefined) return state.lease;
      throw new VolumeError('unavailable', `this node has no lease on its disks: ${state.why}`);
    },
    async protect({ mountpoint, device }, lease) {
      const answer = await ask((seq) => ({ type: 'protect', seq, mountpoint, device, lease }));
      if (!answer.ok) throw new VolumeError('unavailable', answer.error ?? 'the guard refused');
    },
    async release(mountpoint) {
      await ask((seq) => ({ type: 'release', seq, mountpoint }));
    },
    async shutdown({ mountpoint, device }) {
      const answer = await ask((seq) => ({ type: 'shutdown', seq, mountpoint, device }));
      if (answer.error !== undefined) throw new VolumeError('internal', answer.error);
      return answer.ok;
    },
    onFenced: (callback) => void fenced.add(callback),
    onStop: (callback) => void stopping.add(callback),
    stopped: () => channel.send({ type: 'stopped' }),
    endpoints: (endpoints) => channel.send({ type: 'endpoints', endpoints: [...endpoints] }),
  };
}
