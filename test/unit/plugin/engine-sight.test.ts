import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../src/lib/errors.ts';
import { silentLog as log } from '../../../src/lib/log.ts';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { parseMountinfo } from '../../../src/lib/mountinfo.ts';
import { lossOfSight, sightTimes } from '../../../src/plugin/engine-sight.ts';
import { pluginId } from '../../../src/plugin/mount-root.ts';
import { createMemoryPlugins, type MemoryPlugins } from '../../../src/swarm/memory-plugins.ts';

const id = '9afd2497636948042ef2bf539142da8ac00e2170c7751cbb1cbca175b2ad1473';
let dir: string;
let clock: ManualClock;
let engine: MemoryPlugins;
let stop: AbortController;

const table = () =>
  `74 66 98:0 /docker/plugins/${id}/propagated-mount ${dir} rw,noatime shared:18 - ext4 /dev/ubda rw\n`;
const mark = () => `/var/lib/docker/plugins/${id}/propagated-mount/volumes/.seen-by-the-engine`;
const asked = () => engine.calls.filter((call) => call.startsWith('see ')).length;

/** What it resolves with, as soon as it has. */
function watch(mountinfo = table()) {
  const result: { why?: string } = {};
  lossOfSight({
    ...{ root: join(dir, 'volumes'), mounts: async () => parseMountinfo(mountinfo), engine, clock, log },
    signal: stop.signal,
  }).then(
    (why) => {
      result.why = why;
    },
    () => undefined,
  );
  return result;
}

/** Until the engine was asked `times` times in all, with no time passing. */
async function untilAsked(times: number): Promise<void> {
  await expect.poll(asked).toBe(times);
  await clock.advance(0);
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sight-'));
  clock = new ManualClock();
  engine = createMemoryPlugins();
  stop = new AbortController();
});
afterEach(() => {
  stop.abort();
  rmSync(dir, { recursive: true, force: true });
});

describe('whether the engine sees what a plugin mounts', () => {
  it('is asked again from time to time while it does', async () => {
    const result = watch();
    await untilAsked(1);
    expect(engine.calls).toContain(`see ${mark()}`);
    await clock.advance(sightTimes.everyMs);
    await untilAsked(2);
    expect(result.why).toBeUndefined();
  });

  it('is answered by the second look that finds nothing', async () => {
    engine.unseen.add(mark());
    const result = watch();
    await untilAsked(1);
    expect(result.why).toBeUndefined();
    await clock.advance(sightTimes.againMs);
    await expect.poll(() => result.why).toMatch(/the engine does not see what this plugin mounts: .*volumes/);
  });

  it('was only a moment when the second look finds it', async () => {
    engine.unseen.add(mark());
    const result = watch();
    await untilAsked(1);
    engine.unseen.clear();
    await clock.advance(sightTimes.againMs);
    await untilAsked(2);
    // What counts is two in a row.
    engine.unseen.add(mark());
    await clock.advance(sightTimes.everyMs);
    await untilAsked(3);
    expect(result.why).toBeUndefined();
  });

  it('is not known while the engine does not answer, and asked for until it does', async () => {
    engine.failing.set('see', new VolumeError('unavailable', 'the engine does not answer'));
    const result = watch();
    for (let times = 1; times <= 3; times++) {
      await untilAsked(times);
      await clock.advance(sightTimes.unansweredMs);
    }
    expect(result.why).toBeUndefined();
    engine.failing.clear();
    engine.unseen.add(mark());
    await clock.advance(sightTimes.unansweredMs);
    await clock.advance(sightTimes.againMs);
    await expect.poll(() => result.why).toMatch(/does not see/);
  });

  it('is not asked when this is no managed plugin', async () => {
    watch('22 27 0:6 / /dev rw,relatime shared:7 - devtmpfs dev rw\n');
    await clock.advance(sightTimes.everyMs);
    expect(asked()).toBe(0);
  });
});

describe('the ID of a plugin', () => {
  it('is read from where its propagated mount lies on the host', () => {
    expect(pluginId(parseMountinfo(table()), dir)).toBe(id);
    expect(pluginId(parseMountinfo(table()), `${dir}/volumes`)).toBeUndefined();
  });
});
