import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createFailurePoint } from '../../../src/lib/failure-point.ts';

describe('a failure point', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'failure-point-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('does nothing where no point is named', () => {
    const die = vi.fn();
    createFailurePoint(undefined, join(dir, 'fail-at'), die)('attach.granted');
    expect(die).not.toHaveBeenCalled();
  });

  it('ends the process at the point that the environment names, and at no other', () => {
    const die = vi.fn();
    const failAt = createFailurePoint('attach.opened', join(dir, 'fail-at'), die);
    failAt('attach.granted');
    expect(die).not.toHaveBeenCalled();
    failAt('attach.opened');
    expect(die).toHaveBeenCalledTimes(1);
  });

  it('ends it once at the point that the file names: the next process finds none', () => {
    const [die, file] = [vi.fn(), join(dir, 'fail-at')];
    writeFileSync(file, 'attach.opened\n');
    const failAt = createFailurePoint(undefined, file, die);
    failAt('attach.granted');
    expect(die).not.toHaveBeenCalled();
    failAt('attach.opened');
    expect(die).toHaveBeenCalledTimes(1);
    expect(existsSync(file)).toBe(false);
  });
});
