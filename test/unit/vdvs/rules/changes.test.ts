import { describe, expect, it } from 'vitest';
import {
  addAccess,
  createPolicy,
  removeAccess,
  removePolicy,
  setAccess,
  updatePolicy,
} from '../../../../src/vdvs/rules/access-changes.ts';
import {
  changeMembers,
  createGroup,
  findGroup,
  movedNodes,
  removeGroup,
  updateGroup,
} from '../../../../src/vdvs/rules/group-changes.ts';
import { noRules, rulesSchema } from '../../../../src/vdvs/rules/types.ts';
import { resolveHosts } from '../../../../src/vdvs/service/admin-groups.ts';

const known = ['fast', 'slow'];
const make = (name: string, id = '00000001') =>
  createGroup(noRules, { id, name, description: '', defaultDatastore: 'fast' }, known);
const node = (id: string) => ({ id, host: `host-${id}` });
const gb = 2 ** 30;

describe('vmgroups', () => {
  it('may do everything on their default datastore, and nothing elsewhere', () => {
    const rules = make('Dev');
    expect(findGroup(rules, 'Dev').access).toEqual({ fast: { allowCreate: true } });
    expect(rulesSchema.parse(rules)).toEqual(rules);
  });

  it('have different names of the right form, and a datastore that there is', () => {
    const again = () =>
      createGroup(make('Dev'), { id: 'x', name: 'Dev', description: '', defaultDatastore: 'fast' }, known);
    expect(again).toThrow('vmgroup Dev exists already');
    const sameId = { id: '00000001', name: 'Test', description: '', defaultDatastore: 'fast' };
    expect(() => createGroup(make('Dev'), sameId, known)).toThrow('vmgroup Dev has the ID 00000001 already');
    expect(() => make('a b')).toThrow('"a b" is not possible');
    const nowhere = () =>
      createGroup(noRules, { id: 'x', name: 'Dev', description: '', defaultDatastore: '_ALL_DS' }, known);
    expect(nowhere).toThrow('datastore "_ALL_DS" is unknown; there are: fast, slow, _VM_DS');
  });

  it('keep their ID, and so their volumes, under a new name', () => {
    const rules = updateGroup(make('Dev'), 'Dev', { newName: 'Test', defaultDatastore: 'slow' }, known);
    expect(findGroup(rules, 'Test')).toMatchObject({ id: '00000001', defaultDatastore: 'slow' });
    expect(Object.keys(findGroup(rules, 'Test').access).sort()).toEqual(['fast', 'slow']);
    expect(() => findGroup(rules, 'Dev')).toThrow('vmgroup Dev does not exist; there are: _DEFAULT, Test');
    expect(() => updateGroup(rules, 'Test', {}, known)).toThrow('nothing to change');
    expect(() => updateGroup(rules, '_DEFAULT', { newName: 'x' }, known)).toThrow('cannot be renamed');
  });

  it('hold a host once at most', () => {
    const two = createGroup(
      make('Dev'),
      { id: '00000002', name: 'Test', description: '', defaultDatastore: 'fast' },
      known,
    );
    const rules = changeMembers(two, 'Dev', 'add', [node('a'), node('b')]);
    expect(() => changeMembers(rules, 'Test', 'add', [node('a')])).toThrow('host host-a is in vmgroup Dev');
    expect(() => changeMembers(rules, 'Test', 'rm', [node('a')])).toThrow('is not in vmgroup Test');
    expect(() => changeMembers(rules, '_DEFAULT', 'add', [node('a')])).toThrow('in no other vmgroup');
    const replaced = changeMembers(rules, 'Dev', 'replace', [node('b'), node('c')]);
    expect(Object.keys(replaced.members).sort()).toEqual(['b', 'c']);
    expect(movedNodes(rules, replaced, ['a', 'b', 'c'])).toEqual(['a', 'c']);
    expect(Object.keys(changeMembers(replaced, 'Dev', 'rm', [node('b')]).members)).toEqual(['c']);
  });

  it('leave their hosts to _DEFAULT when they go, and come back under no other ID than their own', () => {
    const rules = changeMembers(make('Dev'), 'Dev', 'add', [node('a')]);
    expect(removeGroup(rules, 'Dev')).toEqual(noRules);
    const locked = removeGroup(rules, '_DEFAULT');
    expect(movedNodes(rules, locked, ['a', 'z'])).toEqual(['z']);
    const asked = { id: '00000009', name: '_DEFAULT', description: '', defaultDatastore: '_VM_DS' };
    expect(findGroup(createGroup(locked, asked, known), '_DEFAULT').id).toBe('_DEFAULT');
  });

  it('find hosts by name or ID, and refuse what is not clear', () => {
    const nodes = [node('a'), node('b'), { id: 'c', host: 'host-b' }];
    expect(resolveHosts(['host-a', 'a'], nodes)).toEqual([node('a')]);
    expect(() => resolveHosts(['host-b'], nodes)).toThrow('several nodes are named host-b');
    expect(() => resolveHosts(['x'], nodes)).toThrow('host x is not in the Swarm');
  });
});

describe('access rights', () => {
  it('are added once, changed in parts, and taken away', () => {
    const added = addAccess(make('Dev'), 'Dev', 'slow', { maxSize: '1gb', totalSize: '10GB' }, known);
    expect(findGroup(added, 'Dev').access.slow).toEqual({
      allowCreate: false,
      maxSizeBytes: gb,
      totalSizeBytes: 10 * gb,
    });
    expect(() => addAccess(added, 'Dev', 'slow', {}, known)).toThrow('has access to slow already');
    expect(() => addAccess(added, 'Dev', 'x', {}, known)).toThrow('datastore "x" is unknown');
    const set = setAccess(added, 'Dev', 'slow', { allowCreate: true, maxSize: 'unlimited' });
    expect(findGroup(set, 'Dev').access.slow).toEqual({ allowCreate: true, totalSizeBytes: 10 * gb });
    expect(() => setAccess(set, 'Dev', 'slow', {})).toThrow('nothing to change');
    expect(() => setAccess(set, 'Dev', '_ALL_DS', { allowCreate: true })).toThrow(
      'no access entry for _ALL_DS',
    );
    expect(findGroup(removeAccess(set, 'Dev', 'slow'), 'Dev').access).toEqual({
      fast: { allowCreate: true },
    });
    expect(() => removeAccess(set, 'Dev', 'fast')).toThrow('fast is the default datastore of vmgroup Dev');
  });

  it('have sizes that make sense', () => {
    const set = (maxSize: string, totalSize: string) =>
      setAccess(make('Dev'), 'Dev', 'fast', { maxSize, totalSize });
    expect(() => set('2gb', '1gb')).toThrow('volume-maxsize is more than volume-totalsize');
    expect(() => set('2', '1gb')).toThrow('option volume-maxsize: "2" is not a size');
  });
});

describe('policies', () => {
  it('are made, changed and removed, but not under volumes', () => {
    const rules = createPolicy(noRules, 'gold', 'a');
    expect(() => createPolicy(rules, 'gold', 'b')).toThrow('exists already');
    expect(() => createPolicy(rules, '-', 'b')).toThrow('is not possible');
    expect(() => updatePolicy(rules, 'silver', 'b')).toThrow('policy silver does not exist; there are: gold');
    expect(() => updatePolicy(rules, 'constructor', 'b')).toThrow('does not exist');
    expect(updatePolicy(rules, 'gold', 'b').policies).toEqual({ gold: { content: 'b' } });
    expect(() => removePolicy(rules, 'gold', ['v@fast'])).toThrow('used by 1 volume(s): v@fast');
    expect(removePolicy(rules, 'gold', [])).toEqual(noRules);
  });
});
