import { describe, expect, it } from 'vitest';
import { parseVdvsKey, vdvsKeys } from '../../../src/vdvs/keys.ts';
import { parseVolumeName, renderVolumeName } from '../../../src/vdvs/names.ts';

describe('a volume name', () => {
  it.each([
    ['vol', { datastore: 'main', name: 'vol' }],
    ['vol@fast', { datastore: 'fast', name: 'vol' }],
    ['a@b@fast', { datastore: 'fast', name: 'a@b' }],
    ['a'.repeat(100), { datastore: 'main', name: 'a'.repeat(100) }],
    [`_vF_${'a'.repeat(100)}`, { datastore: 'main', name: `_vF_${'a'.repeat(100)}` }],
  ])('%s is understood', (text, id) => {
    expect(parseVolumeName(text, 'main')).toEqual(id);
  });

  it.each([
    ['', 'empty'],
    ['@fast', 'empty'],
    ['vol@', 'no name of a datastore'],
    ['a/b', '"/" and "\\" are not possible'],
    ['a\\b', '"/" and "\\" are not possible'],
    ['../x', 'not possible'],
    ['.x', 'only letters'],
    ['a b', 'only letters'],
    ['vol-123456', 'reserved for snapshots'],
    ['a'.repeat(101), 'at most 100'],
    [`_vF_${'a'.repeat(101)}`, 'at most 104'],
    ['vol@../x', 'no name of a datastore'],
  ])('%s is refused', (text, message) => {
    expect(() => parseVolumeName(text, 'main')).toThrow(message);
  });

  it('is rendered with its datastore', () => {
    expect(renderVolumeName({ datastore: 'fast', name: 'a@b' })).toBe('a@b@fast');
  });

  it('comes back from its keys', () => {
    const id = { datastore: 'fast', name: 'a@b' };
    expect(parseVdvsKey(vdvsKeys.volume(id))).toEqual(id);
    expect(parseVdvsKey(vdvsKeys.attachment(id))).toEqual(id);
    expect(parseVdvsKey('/vdvs/policies/gold')).toBeUndefined();
  });
});
