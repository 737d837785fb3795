import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { followStopOrder, outlastMs } from '../../../src/lib/stop-order.ts';

function follow() {
  const clock = new ManualClock();
  const signals = new EventEmitter();
  const told: string[] = [];
  const order = followStopOrder(clock, (name) => told.push(name), signals);
  let due = false;
  void order.due.then(() => {
    due = true;
  });
  return { clock, signals, told, order, isDue: () => due };
}

describe('an order to stop', () => {
  it('is told at once and due some time later, in which others can still use what runs here', async () => {
    const { clock, signals, told, order, isDue } = follow();
    await clock.advance(60_000);
    expect([order.given.aborted, isDue()]).toEqual([false, false]);
    signals.emit('SIGTERM');
    expect([order.given.aborted, told]).toEqual([true, ['SIGTERM']]);
    await clock.advance(outlastMs - 1);
    expect(isDue()).toBe(false);
    await clock.advance(1);
    expect(isDue()).toBe(true);
  });

  it('is not put off by being given again', async () => {
    const { clock, signals, told, isDue } = follow();
    signals.emit('SIGTERM');
    await clock.advance(outlastMs - 1);
    signals.emit('SIGINT');
    await clock.advance(1);
    expect([told, isDue()]).toEqual([['SIGTERM', 'SIGINT'], true]);
  });
});
