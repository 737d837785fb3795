import type { Log } from '../../lib/log.ts';
import type { VolumeState, VolumeStatus } from '../types.ts';
import type { Step } from './observed.ts';

/** What happens in the manager; the log and the metrics are made from it. Durations in ms. */
export type ManagerEvent =
  | { readonly type: 'leading' }
  | { readonly type: 'following'; readonly why: string }
  | {
      readonly type: 'state';
      readonly volume: string;
      readonly from: VolumeState | undefined;
      readonly to: VolumeState;
      readonly reason: string;
    }
  | {
      readonly type: 'step';
      readonly volume: string;
      readonly step: Step['do'];
      readonly reason: string;
      readonly durationMs: number;
    }
  | {
      readonly type: 'failed';
      readonly volume: string;
      readonly step: string;
      readonly message: string;
      readonly attempt: number;
    }
  | {
      readonly type: 'failover';
      readonly volume: string;
      readonly record: NonNullable<VolumeStatus['lastFailover']>;
    }
  | { readonly type: 'gone'; readonly volume: string }
  | { readonly type: 'garbage'; readonly volume: string; readonly service: string }
  | { readonly type: 'etcdLeader'; readonly to: string; readonly problem: string | undefined }
  | { readonly type: 'round'; readonly volumes: number; readonly problem: string | undefined };

/** Turns events into log lines. */
export function logEvents(log: Log): (event: ManagerEvent) => void {
  return (event) => {
    switch (event.type) {
      case 'leading':
        return log.info('this manager leads');
      case 'following':
        return log.info('this manager follows', { why: event.why });
      case 'state':
        return log.info(`state ${event.from ?? 'none'} -> ${event.to}`, {
          volume: event.volume,
          reason: event.reason,
        });
      case 'step':
        return log.info(`step ${event.step} done`, {
          volume: event.volume,
          reason: event.reason,
          ms: Math.round(event.durationMs),
        });
      case 'failed':
        return log.warn(`${event.step} failed`, {
          volume: event.volume,
          attempt: event.attempt,
          why: event.message,
        });
      case 'failover':
        return log.warn('failover finished', { volume: event.volume, ...event.record });
      case 'gone':
        return log.info('volume is gone', { volume: event.volume });
      case 'garbage':
        return log.warn('removed a service without a volume', {
          volume: event.volume,
          service: event.service,
        });
      case 'etcdLeader':
        if (event.problem)
          return log.info('etcd is still led from a node that serves', { why: event.problem });
        return log.info('etcd is led from a node that serves nothing', { node: event.to });
      case 'round':
        if (event.problem) return log.warn('round over all volumes', { why: event.problem });
        return log.debug('round over all volumes', { volumes: event.volumes });
    }
  };
}
