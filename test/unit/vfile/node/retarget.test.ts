import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../../src/lib/errors.ts';
import { silentLog } from '../../../../src/lib/log.ts';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import type { Serving } from '../../../../src/vfile/node/decide-target.ts';
import type { Parking } from '../../../../src/vfile/node/parking.ts';
import { createRetargeter, type Retargeter } from '../../../../src/vfile/node/retarget.ts';
import type { Transport, Transports } from '../../../../src/vfile/node/transports.ts';

const id = 'switch-1/xprt-1-tcp';
const first = { address: '10.0.0.1', epoch: 1, instance: 1 };
const second = { address: '10.0.0.2', epoch: 2, instance: 1 };

/** A kernel whose transports do what a test says. */
class FakeTransports implements Transports {
  readonly all = new Map<string, Transport>();
  readonly writes: string[] = [];
  /** What happens in a write before the kernel takes it. */
  before: (address: string, signal: AbortSignal | undefined) => Promise<void> = async () => undefined;

  add(transport: Partial<Transport> & { id: string }): void {
    this.all.set(transport.id, { address: first.address, connected: true, port: 20501, ...transport });
  }
  async scan(): Promise<Transport[]> {
    return [...this.all.values()];
  }
  async read(which: string): Promise<Transport | undefined> {
    return this.all.get(which);
  }
  async aim(which: string, address: string, options: { signal?: AbortSignal }): Promise<void> {
    await this.before(address, options.signal);
    const transport = this.all.get(which);
    if (!transport) throw new VolumeError('not_found', 'gone');
    this.writes.push(`${which} ${address}`);
    this.all.set(which, { ...transport, address });
  }
}

describe('re-targeting', () => {
  let clock: ManualClock;
  let transports: FakeTransports;
  let serving: Serving;
  let open: Set<number>;
  let remembered: Record<string, readonly string[] | undefined>;
  let refuseParking: boolean;
  let retargeter: Retargeter;
  /** Addresses that do not answer. */
  let silent: Set<string>;
  let resumed: string[];

  beforeEach(() => {
    clock = new ManualClock();
    transports = new FakeTransports();
    transports.add({ id });
    serving = { known: true, server: first };
    open = new Set();
    remembered = {};
    refuseParking = false;
    silent = new Set();
    resumed = [];
    const parking: Parking = {
      open: async (port) => {
        if (refuseParking) throw new VolumeError('unavailable', 'port taken');
        open.add(port);
      },
      isOpen: (port) => open.has(port),
      close: async (port) => void open.delete(port),
      closeAll: async () => open.clear(),
    };
    retargeter = createRetargeter({
      transports,
      parking,
      serving: () => serving,
      nfsNull: async (address) => {
        if (silent.has(address)) throw new VolumeError('timeout', 'no answer');
      },
      clock,
      log: silentLog,
      remember: (volume, _port, ids) => {
        remembered[volume] = ids;
      },
      resumed: (volume, { epoch, instance }, ms) => {
        resumed.push(`${volume} ${epoch}.${instance} after ${ms} ms`);
      },
    });
  });
  afterEach(async () => {
    await retargeter.stop();
  });

  it('finds the transports of a new mount by its port, opens the parking place, changes nothing', async () => {
    transports.add({ id: 'switch-2/xprt-2-tcp', port: 2049 });
    void retargeter.track('vol', 20501);
    await clock.settle();
    expect(remembered.vol).toEqual([id]);
    expect([...open]).toEqual([20501]);
    expect(transports.writes).toEqual([]);
  });

  it('parks when the server is gone and points at the next one, all transports, without waiting for the timer', async () => {
    const other = 'switch-1/xprt-9-tcp';
    transports.add({ id: other });
    void retargeter.track('vol', 20501);
    await clock.settle();
    serving = { known: true, server: undefined };
    retargeter.look('vol');
    await clock.settle();
    expect(transports.writes).toEqual([`${id} 127.0.0.1`, `${other} 127.0.0.1`]);
    serving = { known: true, server: second };
    retargeter.look('vol');
    await clock.settle();
    expect(transports.writes.slice(2)).toEqual([`${id} 10.0.0.2`, `${other} 10.0.0.2`]);
  });

  it('tells for how long there was no server: from when it was taken back', async () => {
    void retargeter.track('vol', 20501);
    await clock.advance(5_000);
    serving = { known: true, server: undefined };
    retargeter.look('vol');
    await clock.advance(1_300);
    serving = { known: true, server: second };
    retargeter.look('vol');
    await clock.advance(5_000);
    expect(resumed).toEqual(['vol 2.1 after 1300 ms']);
  });

  it('tells for how long there was no server: from its last answer, when it fell silent', async () => {
    void retargeter.track('vol', 20501);
    await clock.advance(3_000);
    silent.add(first.address);
    await clock.advance(4_000);
    serving = { known: true, server: second };
    retargeter.look('vol');
    await clock.advance(5_000);
    const [, ms] = /^vol 2\.1 after (\d+) ms$/.exec(resumed.join()) ?? [];
    expect(Number(ms)).toBeGreaterThanOrEqual(4_000);
    expect(Number(ms)).toBeLessThanOrEqual(4_750);
  });

  it('tells nothing when it goes back to the very start that it had', async () => {
    void retargeter.track('vol', 20501);
    await clock.advance(3_000);
    silent.add(first.address);
    await clock.advance(4_000);
    silent.clear();
    await clock.advance(4_000);
    expect(transports.writes).toEqual([`${id} 127.0.0.1`, `${id} ${first.address}`]);
    expect(resumed).toEqual([]);
  });

  it('goes to a server that accepts before it answers, and has been without one until it serves', async () => {
    void retargeter.track('vol', 20501);
    await clock.advance(5_000);
    const become = async (next: Serving, ms: number) => {
      serving = next;
      retargeter.look('vol');
      await clock.advance(ms);
    };
    await become({ known: true, server: undefined }, 1_000);
    await become({ known: true, server: second, starting: true }, 400);
    expect(transports.writes).toEqual([`${id} 127.0.0.1`, `${id} 10.0.0.2`]);
    expect(resumed).toEqual([]);
    await become({ known: true, server: second }, 5_000);
    expect(transports.writes).toHaveLength(2);
    expect(resumed).toEqual(['vol 2.1 after 1400 ms']);
  });

  it('goes on with a write when the server that was to serve does: it goes there anyway', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    let calledOff = false;
    transports.before = (address, signal) => {
      if (address !== second.address) return Promise.resolve();
      signal?.addEventListener('abort', () => {
        calledOff = true;
      });
      return clock.sleep(400);
    };
    serving = { known: true, server: second, starting: true };
    retargeter.look('vol');
    await clock.advance(300);
    serving = { known: true, server: second };
    retargeter.look('vol');
    await clock.advance(200);
    expect([calledOff, transports.writes]).toEqual([false, [`${id} ${second.address}`]]);
    expect(resumed).toEqual(['vol 2.1 after 400 ms']);
  });

  it('parks again when the server that was to serve does not answer for long, or gives up', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    silent.add(second.address);
    serving = { known: true, server: second, starting: true };
    retargeter.look('vol');
    await clock.settle();
    await clock.advance(4_000);
    expect(transports.writes).toEqual([`${id} 10.0.0.2`, `${id} 127.0.0.1`]);
    silent.clear();
    await clock.advance(1_000);
    serving = { known: true, server: undefined };
    retargeter.look('vol');
    await clock.settle();
    expect(transports.writes.slice(2)).toEqual([`${id} 10.0.0.2`, `${id} 127.0.0.1`]);
  });

  it('goes through the parking place when the server was started again at its address', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    serving = { known: true, server: { ...first, instance: 2 } };
    retargeter.look('vol');
    await clock.settle();
    expect(transports.writes).toEqual([`${id} 127.0.0.1`, `${id} 10.0.0.1`]);
  });

  it('parks when the server does not answer, whatever etcd says, and goes back when it does', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    serving = { known: false, reason: 'etcd is out of reach', last: first };
    silent.add(first.address);
    await clock.advance(1_300);
    expect(transports.writes).toEqual([`${id} 127.0.0.1`]);
    await clock.advance(5_000);
    silent.clear();
    await clock.advance(300);
    expect(transports.writes).toEqual([`${id} 127.0.0.1`, `${id} 10.0.0.1`]);
  });

  it('asks the next server anew: what its predecessor did not answer counts no more', async () => {
    void retargeter.track('vol', 20501);
    silent.add(first.address);
    await clock.advance(1_300);
    serving = { known: true, server: second };
    retargeter.look('vol');
    await clock.settle();
    expect(transports.writes).toEqual([`${id} 127.0.0.1`, `${id} 10.0.0.2`]);
  });

  it('does nothing while etcd is out of reach', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    serving = { known: false, reason: 'etcd is out of reach' };
    retargeter.look();
    await clock.advance(10_000);
    expect(transports.writes).toEqual([]);
  });

  it('knows a closed transport of an earlier process, which does not tell its port', async () => {
    transports.add({ id, connected: false, port: undefined });
    serving = { known: true, server: second };
    void retargeter.track('vol', 20501, [id]);
    await clock.settle();
    expect(transports.writes).toEqual([`${id} 10.0.0.2`]);
  });

  it('lets go of a transport whose ID now belongs to another port', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    transports.add({ id, port: 20777 });
    await clock.advance(2_000);
    serving = { known: true, server: undefined };
    retargeter.look('vol');
    await clock.settle();
    expect(transports.writes).toEqual([]);
  });

  it('finds a transport that came later by the timer', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    serving = { known: true, server: second };
    retargeter.look('vol');
    await clock.settle();
    transports.add({ id: 'switch-7/xprt-7-tcp' });
    await clock.advance(2_000);
    expect(transports.writes).toEqual([`${id} 10.0.0.2`, 'switch-7/xprt-7-tcp 10.0.0.2']);
  });

  it('calls off a write that the kernel holds up once it wants something else', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    const calledOff: string[] = [];
    transports.before = (address, signal) =>
      address !== '127.0.0.1'
        ? Promise.resolve()
        : new Promise((_resolve, reject) => {
            signal?.addEventListener('abort', () => {
              calledOff.push(address);
              reject(signal.reason);
            });
          });
    serving = { known: true, server: undefined };
    retargeter.look('vol');
    await clock.settle();
    serving = { known: true, server: second };
    retargeter.look('vol');
    await clock.settle();
    expect(calledOff).toEqual(['127.0.0.1']);
    expect(transports.writes).toEqual([`${id} 10.0.0.2`]);
  });

  it('tries again after a failure, says why meanwhile, and is well afterwards', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    let failures = 2;
    transports.before = async () => {
      failures -= 1;
      if (failures >= 0) throw new VolumeError('timeout', 'the lock is held');
    };
    serving = { known: true, server: second };
    retargeter.look('vol');
    await clock.settle();
    expect(retargeter.problem('vol')).toBe(`transport ${id}: the lock is held`);
    await clock.advance(100);
    expect(transports.writes).toEqual([]);
    await clock.advance(200);
    expect(transports.writes).toEqual([`${id} 10.0.0.2`]);
    expect(retargeter.problem('vol')).toBeUndefined();
  });

  it('never parks while nobody listens, and says so', async () => {
    refuseParking = true;
    void retargeter.track('vol', 20501);
    serving = { known: true, server: undefined };
    await clock.advance(5_000);
    expect(transports.writes).toEqual([]);
    expect(retargeter.problem('vol')).toBe('port taken');
    refuseParking = false;
    await clock.advance(2_000);
    expect(transports.writes).toEqual([`${id} 127.0.0.1`]);
    expect(retargeter.problem('vol')).toBeUndefined();
  });

  it('says when a volume has no transport at all', async () => {
    transports.all.clear();
    void retargeter.track('vol', 20501);
    await clock.advance(12_000);
    expect(retargeter.problem('vol')).toMatch(/no transport with port 20501/);
    transports.add({ id });
    await clock.advance(2_000);
    expect(retargeter.problem('vol')).toBeUndefined();
  });

  it('forgets an unmounted volume and closes its parking place once the kernel has let go', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    retargeter.untrack('vol');
    expect(retargeter.tracks('vol')).toBe(false);
    await clock.settle();
    expect([...open]).toEqual([20501]);
    transports.all.clear();
    await clock.advance(2_000);
    transports.add({ id });
    serving = { known: true, server: undefined };
    retargeter.look();
    await clock.advance(5_000);
    expect(transports.writes).toEqual([]);
    expect([...open]).toEqual([]);
    expect(remembered.vol).toBeUndefined();
  });

  it('goes on moving what a lazily detached mount holds, and takes it over with the next mount', async () => {
    void retargeter.track('vol', 20501);
    await clock.settle();
    retargeter.untrack('vol');
    serving = { known: true, server: undefined };
    retargeter.look('vol');
    await clock.settle();
    transports.add({ id, address: '127.0.0.1', connected: false, port: undefined });
    serving = { known: true, server: second };
    expect(await retargeter.track('vol', 20501)).toBe(1);
    await clock.settle();
    expect(transports.writes).toEqual([`${id} 127.0.0.1`, `${id} 10.0.0.2`]);
  });

  it('keeps the parking place of a port that another volume has by now', async () => {
    void retargeter.track('old', 20501);
    await clock.settle();
    retargeter.untrack('old');
    void retargeter.track('new', 20501);
    await clock.settle();
    transports.all.clear();
    await clock.advance(2_000);
    expect([...open]).toEqual([20501]);
  });
});
