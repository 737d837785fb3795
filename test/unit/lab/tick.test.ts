import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';

const tick = join(import.meta.dirname, '../../lab/host/tick.pl');

it('a host’s clock is nudged from when its kernel expects that, again and again, until it ends', async () => {
  // Would be ended by a signal that comes before it says that it is ready.
  const kernel = spawn(
    'perl',
    ['-e', '$| = 1; <STDIN>; $SIG{ALRM} = sub { print "alarm\n" }; while (1) { sleep 10 }'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const ticker = spawn('perl', [tick, String(kernel.pid)], { stdio: 'ignore' });
  const tickerEnded = once(ticker, 'exit');
  try {
    // Three times the pause between two signals.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(kernel.exitCode ?? kernel.signalCode).toBeNull();
    kernel.stdin.write('\n');
    let alarms = 0;
    for await (const line of createInterface({ input: kernel.stdout })) {
      expect(line).toBe('alarm');
      alarms += 1;
      if (alarms === 5) break;
    }
    expect(alarms).toBe(5);
    kernel.kill('SIGKILL');
    expect(await tickerEnded).toEqual([0, null]);
  } finally {
    for (const child of [kernel, ticker]) child.kill('SIGKILL');
  }
});
