import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Run, run } from '../../src/lib/exec.ts';
import { createExtents } from '../../src/vdvs/backends/folder/extents.ts';

describe('a second file with the bytes of a disk', () => {
  let folder: string;
  let from: string;
  let to: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'twin-'));
    from = join(folder, 'from');
    to = join(folder, 'to');
    await writeFile(from, Buffer.alloc(2 ** 20, 7));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** A file system that cannot share blocks, whatever the one of this host can. */
  const copying: Run = (file, args, options) =>
    args.includes('--reflink=always')
      ? Promise.resolve({ exitCode: 1, stdout: '', stderr: 'not supported' })
      : run(file, args, options);

  it('is given up in time when the datastore takes its bytes slowly', async () => {
    const never = () => new Promise<void>(() => undefined);
    const { twin } = createExtents({ run: copying, sync: never });
    expect(await twin(from, to, 'thin', 300)).toBe(false);
  });

  it('is not begun when it could not be done in time', async () => {
    const { twin } = createExtents({ run: copying });
    for (const ms of [0, 1]) expect(await twin(from, to, 'zeroedthick', ms)).toBe(false);
    await expect(stat(to)).rejects.toThrow('ENOENT');
  });

  it('has all of them, and for a thin disk none of its zeroes', async () => {
    const { twin } = createExtents({ run: copying });
    await writeFile(from, Buffer.concat([Buffer.alloc(2 ** 20, 7), Buffer.alloc(3 * 2 ** 20)]));
    expect(await twin(from, to, 'thin', 10_000)).toBe(true);
    expect((await readFile(to)).equals(await readFile(from))).toBe(true);
    const { blocks, mode } = await stat(to);
    expect(blocks * 512).toBeLessThan(2 * 2 ** 20);
    expect(mode & 0o777).toBe(0o600);
  });

  it('says that there is no disk, which it does not make, and that there was no room', async () => {
    const full: Run = async (file, args, options) => {
      if (args.includes('--reflink=never')) throw new Error('No space left on device');
      return await copying(file, args, options);
    };
    await expect(createExtents({ run: full }).twin(from, to, 'thin', 10_000)).rejects.toThrow('No space');
    const { twin } = createExtents({ run: copying });
    await expect(twin(join(folder, 'gone'), to, 'thin', 10_000)).rejects.toThrow('ENOENT');
    expect(await readdir(folder)).toEqual(['from']);
  });
});
