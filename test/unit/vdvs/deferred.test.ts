import { beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import { createKeyedQueue, type KeyedQueue } from '../../../src/lib/keyed-queue.ts';
import type { Log } from '../../../src/lib/log.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import type { Grant } from '../../../src/vdvs/api.ts';
import type { Granted } from '../../../src/vdvs/node/block-volumes.ts';
import { createDeferred, type Deferred } from '../../../src/vdvs/node/deferred.ts';
import { createGrants } from '../../../src/vdvs/node/grants.ts';
import {
  isLive,
  type LiveMount,
  type MountTable,
  type VolumeUse,
} from '../../../src/vdvs/node/mount-table.ts';
import { parseBlockOptions } from '../../../src/vdvs/options.ts';

const id = { datastore: 'ds', name: 'v' };
const grant = (epoch: number, clean = true, createdAt = ''): Grant => ({
  record: {
    ...{ v: 1, ...id, disk: '', fsUuid: '', createdAt, createdBy: '', phase: 'ready', epoch },
    ...{ formatted: true, releasedEpoch: 0, cleanEpoch: 0, options: parseBlockOptions({}) },
  },
  epoch,
  location: { kind: 'folder-file', datastore: 'ds', file: 'v' },
  clean,
});
const busy = () => new VolumeError('busy', 'volume v@ds is attached to ann');

describe('waiting for a disk that containers use already', () => {
  let clock: ManualClock;
  let queue: KeyedQueue;
  let use: VolumeUse | undefined;
  let asked: { at: number; waitMs: number; answer: (outcome: Grant | VolumeError) => void }[];
  let detached: [number, boolean][];
  let open: (granted: Granted, note: (mount: LiveMount) => Promise<void>, signal: AbortSignal) => unknown;
  let reasons: unknown[];
  let devices: { device: string; file: string }[];
  let uncertain: number;
  let lease: AbortController;
  let deferred: Deferred;

  const table: MountTable = {
    get: () => (use && isLive(use) ? use : undefined),
    all: () => [],
    use: () => use,
    uses: () => (use ? [use] : []),
    put: async (one) => {
      use = one;
    },
    delete: async () => {
      use = undefined;
    },
  };
  const mounted = (epoch: number): LiveMount => ({
    ...{ ...id, epoch, lease: 'l', device: '/dev/loop1', mountpoint: '/mnt/v', fstype: 'ext4' },
    ...{ ids: {}, inherited: new Map<string, number>() },
  });
  const waits = () => {
    use = { ...id, mountpoint: '/mnt/v', ids: { one: 1 }, inherited: new Map() };
    deferred.wait(id);
  };
  const answer = async (outcome: Grant | VolumeError) => {
    asked.at(-1)?.answer(outcome);
    await clock.advance(0);
  };

  beforeEach(() => {
    clock = new ManualClock();
    queue = createKeyedQueue();
    use = undefined;
    asked = [];
    detached = [];
    reasons = [];
    devices = [];
    uncertain = 0;
    lease = new AbortController();
    open = async ({ grant: { epoch } }, note) => note(mounted(epoch));
    const log: Log = { ...silentLog, info: (_text, fields) => void reasons.push(fields?.reason) };
    const attachOnce = (_id: unknown, _lease: string, waitMs: number) =>
      new Promise<Grant>((resolve, reject) => {
        const settle = (outcome: Grant | VolumeError) =>
          outcome instanceof VolumeError ? reject(outcome) : resolve(outcome);
        asked.push({ at: clock.monotonic(), waitMs, answer: settle });
      });
    const grants = createGrants({
      client: {
        attach: async () => Promise.reject(busy()),
        attachOnce,
        detach: async (_id, epoch, clean) => void detached.push([epoch, clean]),
      },
      onUncertain: () => undefined,
      log: silentLog,
    });
    deferred = createDeferred({
      grants,
      guard: { lease: async () => 'l' },
      volumes: {
        openGranted: async (granted, note, signal) => {
          try {
            await open(granted, note, signal);
          } catch (thrown) {
            await grants.giveBack(id, granted.grant.epoch, false);
            throw thrown;
          }
          return mounted(granted.grant.epoch);
        },
      },
      onAttached: () => undefined,
      loops: { list: async () => devices },
      table,
      queue,
      leaseSignal: () => lease.signal,
      onUncertain: () => {
        uncertain += 1;
      },
      clock,
      log,
    });
  });

  it('has a question standing all the time, says why once, and has the disk with the answer', async () => {
    waits();
    deferred.wait(id);
    await clock.advance(0);
    expect(asked).toMatchObject([{ at: 0, waitMs: 0 }]);
    await answer(busy());
    for (const at of [2_000, 4_000, 6_000]) {
      expect(asked.at(-1)).toMatchObject({ at: at - 2_000, waitMs: 2_000 });
      await clock.advance(2_000);
      await answer(busy());
    }
    expect(deferred.reason(id)).toBe('volume v@ds is attached to ann');
    await answer(grant(5));
    expect(use).toMatchObject({ epoch: 5, ids: { one: 1 }, deferred: true });
    expect([deferred.asking(id), deferred.reason(id), detached]).toEqual([false, undefined, []]);
    expect(reasons).toEqual(['volume v@ds is attached to ann', undefined]);
    await clock.advance(10_000);
    expect(asked).toHaveLength(5);
  });

  it('does not ask in a tight loop when nothing stands, and not rarely when no manager is there', async () => {
    waits();
    await clock.advance(0);
    for (let turn = 0; turn < 20; turn += 1) {
      await answer(turn < 10 ? busy() : new VolumeError('unavailable', 'nobody'));
      await clock.advance(turn < 10 ? 100 : 500);
    }
    expect(asked).toHaveLength(21);
    expect(reasons).toEqual(['volume v@ds is attached to ann', 'nobody']);
  });

  it('gives back what is granted when nobody waits any more, as clean as it was', async () => {
    waits();
    await clock.advance(0);
    deferred.callOff(id);
    await table.delete(id);
    await answer(grant(5));
    expect([detached, use, deferred.asking(id), uncertain]).toEqual([[[5, true]], undefined, false, 1]);
  });

  it('never uses an epoch that was given back: its detach may be on its way still', async () => {
    waits();
    await clock.advance(0);
    deferred.callOff(id);
    await answer(grant(5));
    await answer(grant(5));
    expect([detached, use && isLive(use)]).toEqual([
      [
        [5, true],
        [5, false],
      ],
      false,
    ]);
    await answer(grant(6));
    expect(use).toMatchObject({ epoch: 6 });
  });

  it('uses an epoch that was given back of an earlier volume of this name', async () => {
    waits();
    await clock.advance(0);
    deferred.callOff(id);
    await answer(grant(5));
    await answer(grant(5, true, 'later'));
    expect([detached, use]).toMatchObject([[[5, true]], { epoch: 5 }]);
  });

  it('can be called off until containers may see the disk', async () => {
    let go = () => undefined as unknown;
    open = async (granted, note, signal) => {
      await new Promise((resolve) => {
        go = () => resolve(undefined);
      });
      signal.throwIfAborted();
      await note(mounted(granted.grant.epoch));
      deferred.callOff(id);
      signal.throwIfAborted();
    };
    waits();
    await clock.advance(0);
    await answer(grant(5));
    deferred.callOff(id);
    go();
    await clock.advance(100);
    expect([detached, asked.length]).toEqual([[[5, false]], 2]);
    await answer(grant(6));
    go();
    await clock.advance(0);
    expect(use).toMatchObject({ epoch: 6, deferred: true });
  });

  it('leaves a disk to others for longer and longer that it cannot mount', async () => {
    open = () => {
      throw new VolumeError('internal', 'needs e2fsck by hand');
    };
    waits();
    await clock.advance(0);
    for (const [index, pauseMs] of [1_000, 2_000, 4_000, 7_500, 7_500].entries()) {
      await answer(grant(index + 1));
      expect(use && isLive(use)).toBe(false);
      await clock.advance(pauseMs - 1);
      expect(asked).toHaveLength(index + 1);
      await clock.advance(1);
      expect(asked).toHaveLength(index + 2);
    }
    expect(deferred.reason(id)).toBe('needs e2fsck by hand');
  });

  it('does not ask while processes hold an earlier mount of the disk', async () => {
    devices = [{ device: '/dev/loop1', file: '/ds/v' }];
    await deferred.leftBehind(id, { device: '/dev/loop1', folder: '/ds' });
    waits();
    await clock.advance(5_000);
    expect(asked).toEqual([]);
    expect(deferred.reason(id)).toContain('still hold /dev/loop1');
    devices = [{ device: '/dev/loop1', file: '/ds/other' }];
    await clock.advance(100);
    expect(asked).toHaveLength(1);
  });
});
