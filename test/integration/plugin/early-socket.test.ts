import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import { beFoundOnce } from '../../../src/plugin/early-socket.ts';

let dir: string;
let path: string;

/** Whether somebody accepts, as the engine looks. */
const accepts = () =>
  new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'early-'));
  path = join(dir, 'plugin.sock');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('a process that the engine is to start again', () => {
  it('is there until it was found, and ends a little later without having accepted anything more', async () => {
    const clock = new ManualClock();
    const state = { mayEnd: false };
    const done = beFoundOnce(path, clock).then(() => {
      state.mayEnd = true;
    });
    await expect.poll(accepts).toBe(true);
    await expect.poll(accepts).toBe(false);
    expect(state.mayEnd).toBe(false);
    await clock.advance(1_000);
    await done;
  });

  it('ends when nobody looks for it', async () => {
    const clock = new ManualClock();
    const done = beFoundOnce(path, clock);
    await expect.poll(() => existsSync(path)).toBe(true);
    await clock.advance(15_000);
    await expect.poll(() => existsSync(path)).toBe(false);
    await clock.advance(1_000);
    await done;
  });
});
