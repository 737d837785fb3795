import { mkdtempSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createReplyPermit, type ReplyPermit } from '../../../src/fileserver/reply-permit.ts';
import { systemClock } from '../../../src/lib/clock.ts';

describe('the permit to answer', () => {
  let dir: string;
  let permit: ReplyPermit;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'vfile-permit-'));
    permit = createReplyPermit(dir, systemClock);
  });
  afterEach(() => {
    permit.close();
    rmSync(dir, { recursive: true });
  });

  /** Both numbers, in ms. */
  const written = (): number[] => {
    const both = Buffer.alloc(16);
    expect(readSync(permit.fd, both, 0, 16, 0)).toBe(16);
    return [0, 8].map((at) => Number(both.readBigUInt64LE(at)) / 1e6);
  };
  const uptimeMs = (): number => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1_000;

  it('allows nothing at first, and has no name that another process could find', () => {
    expect([written(), readdirSync(dir)]).toEqual([[0, 0], []]);
  });

  it('is told in time since the host’s start, twice the same, and never too late', () => {
    const before = uptimeMs();
    const end = performance.now() + 5_000;
    permit.allowUntil(end);
    const [until = 0, again] = written();
    expect(again).toBe(until);
    expect(until).toBeGreaterThanOrEqual(before + 4_900);
    // The host's start is told in hundredths of seconds.
    expect(until).toBeLessThanOrEqual(uptimeMs() + 10 + (end - performance.now()));
  });

  it('ends in the past when the time is over', () => {
    permit.allowUntil(performance.now() - 1_000);
    expect(written()[0]).toBeLessThanOrEqual(uptimeMs() + 10);
  });

  it('ends too early when the host stands still while it is written', () => {
    let reads = 0;
    const stopped = createReplyPermit(dir, {
      ...systemClock,
      monotonic: () => performance.now() + 3_000 * ++reads,
    });
    stopped.allowUntil(performance.now() + 5_000);
    const both = Buffer.alloc(8);
    readSync(stopped.fd, both, 0, 8, 0);
    expect(Number(both.readBigUInt64LE(0)) / 1e6).toBeLessThanOrEqual(uptimeMs() + 10 + 2_000);
    stopped.close();
  });
});
