import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replaceFile } from '../../../src/lib/replace-file.ts';

describe.each([true, false])('replacing a file, durable: %s', (durable) => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vfile-replace-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('leaves one file that only this user may read, also where an earlier attempt ended half way', async () => {
    const path = join(dir, 'file');
    await writeFile(path, 'old', { mode: 0o644 });
    await writeFile(`${path}.new`, 'half of an earlier, longer one', { mode: 0o600 });
    await replaceFile(path, 'new', { durable });
    expect([await readdir(dir), await readFile(path, 'utf8')]).toEqual([['file'], 'new']);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('leaves the old one when the new one cannot be written', async () => {
    const path = join(dir, 'nowhere', 'file');
    await expect(replaceFile(path, 'new', { durable })).rejects.toThrow(/ENOENT/);
  });
});
