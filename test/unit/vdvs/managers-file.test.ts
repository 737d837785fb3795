import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createManagersFile } from '../../../src/vdvs/managers-file.ts';

describe('the file of managers', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'managers-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('gives back what was written, also in a folder that was not there', () => {
    const path = join(dir, 'state/managers.json');
    createManagersFile(path).write(['10.0.0.1', '10.0.0.2']);
    expect(createManagersFile(path).read()).toEqual(['10.0.0.1', '10.0.0.2']);
  });

  it.each([
    ['nothing', undefined],
    ['half a file', '["10.0.'],
    ['something else', '["a;b"]'],
  ])('knows nothing from %s', (_what, text) => {
    const path = join(dir, 'managers.json');
    if (text !== undefined) writeFileSync(path, text);
    expect(createManagersFile(path).read()).toEqual([]);
  });
});
