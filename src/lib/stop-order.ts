import type { Clock } from './clock.ts';

/**
 * For how long a service goes on after it was told to stop, in ms. When a node is drained all of its tasks are told so at once, and
 * its file servers hand their volumes over: they need what runs here, and Docker's work of taking containers apart would compete
 * with them for the node's processors.
 */
export const outlastMs = 2_500;

/** Docker's order to stop, and how long it can wait. */
export interface StopOrder {
  /** Aborted as soon as the order is there. */
  readonly given: AbortSignal;
  /** Resolves `outlastMs` after the order. */
  readonly due: Promise<void>;
}

/** What a process is told its signals by; tests have their own. */
type Signals = Pick<NodeJS.EventEmitter, 'on'>;

/** Follows SIGTERM and SIGINT. @param onGiven is told each of them. */
export function followStopOrder(
  clock: Clock,
  onGiven: (signal: NodeJS.Signals) => void = () => undefined,
  signals: Signals = process,
): StopOrder {
  const order = new AbortController();
  const due = new Promise<void>((resolve) => {
    order.signal.addEventListener('abort', () => void clock.sleep(outlastMs).then(resolve), { once: true });
  });
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    signals.on(name, () => {
      onGiven(name);
      order.abort();
    });
  }
  return { given: order.signal, due };
}
