import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseVolumeName } from '../../../../src/vdvs/names.ts';
import {
  concealGroups,
  groupOfName,
  internalName,
  plainName,
  requirePlain,
} from '../../../../src/vdvs/rules/group-names.ts';

const userName = fc
  .stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9_.@-]{0,40}$/)
  .filter((name) => !/-\d{6}$/.test(name) && !name.startsWith('_vF_'));
const groupId = fc.oneof(fc.constant('_DEFAULT'), fc.stringMatching(/^[0-9a-f]{8}$/));

describe('names in name spaces', () => {
  it('lead back to the name and the group, and never collide', () => {
    fc.assert(
      fc.property(userName, groupId, userName, groupId, (a, groupA, b, groupB) => {
        const inside = internalName(groupA, a);
        expect([plainName(inside), groupOfName(inside)]).toEqual([a, groupA]);
        expect(inside === internalName(groupB, b)).toBe(a === b && groupA === groupB);
      }),
    );
  });

  it('are what they were before there were groups, in _DEFAULT', () => {
    expect(internalName('_DEFAULT', 'db')).toBe('db');
  });

  it("are everybody's below vFile's volumes", () => {
    expect(internalName('0a1b2c3d', '_vF_shared')).toBe('_vF_shared');
    expect(groupOfName('_vF_shared')).toBeUndefined();
  });

  it('cannot be written by users', () => {
    expect(() => requirePlain({ datastore: 'ds', name: '0a1b2c3d+db' })).toThrow('"+" is not possible');
    expect(() => requirePlain({ datastore: 'ds', name: 'db' })).not.toThrow();
  });

  it('obey the rules of plain names inside the service too', () => {
    expect(parseVolumeName('0a1b2c3d+db@ds', '')).toEqual({ datastore: 'ds', name: '0a1b2c3d+db' });
    expect(() => parseVolumeName('0a1b2c3d+db-000001@ds', '')).toThrow('snapshots');
    expect(() => parseVolumeName('0a1b2c3+db@ds', '')).toThrow('only letters');
    expect(() => parseVolumeName('0a1b2c3d+@ds', '')).toThrow('empty');
    expect(parseVolumeName(`0a1b2c3d+${'x'.repeat(100)}@ds`, '').name).toHaveLength(109);
  });

  it('are not shown to users', () => {
    expect(concealGroups('volume 0a1b2c3d+db@ds is in use, and "0a1b2c3d+x"')).toBe(
      'volume db@ds is in use, and "x"',
    );
    expect(concealGroups('a sum of 12345678 + 1, and x0a1b2c3d+y')).toBe(
      'a sum of 12345678 + 1, and x0a1b2c3d+y',
    );
  });
});
