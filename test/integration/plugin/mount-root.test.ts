import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../../src/lib/exec.ts';
import { mountAt, ownMounts } from '../../../src/lib/mountinfo.ts';
import { mountRootSource, openMountRoot, shouldStartAgain } from '../../../src/plugin/mount-root.ts';
import { mountsBelow } from '../../../src/vdvs/node/mountinfo.ts';
import { clearHost } from '../vdvs/clear-host.ts';

const id = 'a'.repeat(64);
let dir: string;
let root: string;
let hostTable: string;
const mount = (...args: string[]) => run('mount', args, { timeoutMs: 5_000 });

/** The propagated mount as the engine binds it into a plugin. */
async function bindPropagated(): Promise<void> {
  const onHost = join(dir, 'plugins', id, 'propagated-mount');
  mkdirSync(onHost, { recursive: true });
  mkdirSync(join(dir, 'mnt'));
  await mount('--bind', onHost, join(dir, 'mnt'));
}

function hostSees(what: string): void {
  const place = `/var/lib/docker/plugins/${id}/propagated-mount`;
  const own = `137 28 98:0 /docker/plugins/${id}/propagated-mount ${place} rw shared:3 - ext4 /dev/vda rw\n`;
  writeFileSync(hostTable, `${own}138 137 0:40 / ${place}/volumes rw shared:9 - tmpfs ${what} rw\n`);
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mount-root-'));
  root = join(dir, 'mnt/volumes');
  hostTable = join(dir, 'host');
});
afterEach(() => {
  clearHost(dir);
  rmSync(dir, { recursive: true, force: true });
});

describe('the file system that holds all mount points', () => {
  it('is mounted once, whatever is mounted in it', async () => {
    await openMountRoot({ root, run, hostTable });
    mkdirSync(join(root, 'v'));
    await mount('-t', 'tmpfs', 'volume', join(root, 'v'));
    await openMountRoot({ root, run, hostTable });
    expect(mountsBelow(await ownMounts(), dir).map(({ source }) => source)).toEqual([
      mountRootSource,
      'volume',
    ]);
  });

  it('is mounted over anything else', async () => {
    mkdirSync(root, { recursive: true });
    await mount('-t', 'tmpfs', 'another', root);
    await openMountRoot({ root, run, hostTable });
    expect(mountAt(await ownMounts(), root)?.source).toBe(mountRootSource);
  });

  it('says whether the host sees it, and nothing when that cannot be told', async () => {
    hostSees(mountRootSource);
    expect(await openMountRoot({ root, run, hostTable })).toBeUndefined();
    clearHost(dir);
    rmSync(join(dir, 'mnt'), { recursive: true });
    await bindPropagated();
    expect(await openMountRoot({ root, run, hostTable })).toBe(true);
    hostSees('another');
    expect(await openMountRoot({ root, run, hostTable })).toBe(false);
    rmSync(hostTable);
    expect(await openMountRoot({ root, run, hostTable })).toBeUndefined();
  });
});

describe('a plugin whose mounts the host does not see', () => {
  it('starts again, three times at most until they were seen', async () => {
    await bindPropagated();
    const again = () => shouldStartAgain({ root, run, hostTable });
    hostSees('another');
    expect([await again(), await again(), await again(), await again()]).toEqual([true, true, true, false]);
    hostSees(mountRootSource);
    expect(await again()).toBe(false);
    hostSees('another');
    expect(await again()).toBe(true);
  });
});
