import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../src/lib/exec.ts';
import { ensureMountRoot, mountRootSource } from '../../src/plugin/mount-root.ts';
import { mountAt, mountsBelow, parseMountinfo } from '../../src/vdvs/node/mountinfo.ts';
import { clearHost } from './vdvs/clear-host.ts';

let dir: string;
const entries = () => parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
const ensure = () =>
  ensureMountRoot({
    root: join(dir, 'volumes'),
    run,
    sourceAt: async (path) => mountAt(entries(), path)?.source,
  });

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mount-root-'));
});
afterEach(() => {
  clearHost(dir);
  rmSync(dir, { recursive: true, force: true });
});

describe('the file system that holds all mount points', () => {
  it('is mounted once, whatever is mounted in it', async () => {
    await ensure();
    await run('mkdir', [join(dir, 'volumes/v')], { timeoutMs: 5_000 });
    await run('mount', ['-t', 'tmpfs', 'volume', join(dir, 'volumes/v')], { timeoutMs: 5_000 });
    await ensure();
    expect(mountsBelow(entries(), dir).map(({ source }) => source)).toEqual([mountRootSource, 'volume']);
  });

  it('is mounted over anything else', async () => {
    await run('mkdir', [join(dir, 'volumes')], { timeoutMs: 5_000 });
    await run('mount', ['-t', 'tmpfs', 'another', join(dir, 'volumes')], { timeoutMs: 5_000 });
    await ensure();
    expect(mountAt(entries(), join(dir, 'volumes'))?.source).toBe(mountRootSource);
  });
});
