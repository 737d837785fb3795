import { describe, expect, it } from 'vitest';
import {
  accessOn,
  decideSize,
  decideTotal,
  groupOfNode,
  requireAccess,
  requireGroup,
} from '../../../../src/vdvs/rules/decide.ts';
import { type Group, noRules, type Rules } from '../../../../src/vdvs/rules/types.ts';

const gb = 2 ** 30;
const dev: Group = {
  id: '0a1b2c3d',
  name: 'Dev',
  description: '',
  defaultDatastore: 'fast',
  access: {},
};
const withAccess = (access: Group['access']): Group => ({ ...dev, access });
const wish = (toBytes: number, fromBytes = 0) => ({
  id: { datastore: 'fast', name: '0a1b2c3d+db' },
  fromBytes,
  toBytes,
});

describe('the group of a node', () => {
  const rules: Rules = {
    ...noRules,
    groups: [...noRules.groups, dev],
    members: { n1: { group: dev.id, host: 'h1' } },
  };

  it('is the one that names it, else _DEFAULT', () => {
    expect(groupOfNode(rules, 'n1')?.name).toBe('Dev');
    expect(groupOfNode(rules, 'n2')?.name).toBe('_DEFAULT');
  });

  it('is none when _DEFAULT was removed, and the message is the one that users know', () => {
    const locked = { ...rules, groups: [dev] };
    expect(groupOfNode(locked, 'n1')?.name).toBe('Dev');
    expect(() => requireGroup(locked, 'n2')).toThrow('No access privilege exists');
  });
});

describe('the access entry that counts', () => {
  const one = (max: number) => ({ allowCreate: true, maxSizeBytes: max });

  it.each([
    ['its own before all others', { fast: one(1), _VM_DS: one(2), _ALL_DS: one(3) }, 'fast', 1],
    ["that of the hosts' datastore before all others", { _VM_DS: one(2), _ALL_DS: one(3) }, 'fast', 2],
    ["not that of the hosts' datastore for another one", { _VM_DS: one(2), _ALL_DS: one(3) }, 'slow', 3],
    ['that of all others', { slow: one(1), _ALL_DS: one(3) }, 'fast', 3],
    ['none', { slow: one(1) }, 'fast', undefined],
    ['none for a name that every object has', { slow: one(1) }, 'constructor', undefined],
  ])('is %s', (_what, access, datastore, max) => {
    expect(accessOn(withAccess(access), datastore, 'fast')?.maxSizeBytes).toBe(max);
  });

  it('is missed in the words that users know', () => {
    expect(() => requireAccess(withAccess({}), 'fast', 'slow')).toThrow(
      'No access privilege exists for vmgroup Dev on datastore fast',
    );
  });
});

describe('the size of a disk', () => {
  const decide = (
    access: Group['access'],
    change: ReturnType<typeof wish> & { policy?: string },
    rules = noRules,
  ) => decideSize(rules, withAccess(access), change, 'other');

  it('is limited for each volume', () => {
    const access = { fast: { allowCreate: true, maxSizeBytes: gb } };
    expect(decide(access, wish(gb))).toBeUndefined();
    expect(() => decide(access, wish(gb + 1))).toThrow(
      /^volume db@fast: Volume size exceeds the max volume size limit: .* of at most 1gb for vmgroup Dev$/,
    );
    expect(() => decide(access, wish(2 * gb, gb))).toThrow('max volume size');
  });

  it('needs the right to create', () => {
    const refused = () => decide({ fast: { allowCreate: false } }, wish(1));
    expect(refused).toThrow('No create privilege exists for vmgroup Dev on datastore fast');
  });

  it('may always shrink, or stay', () => {
    expect(decide({}, wish(gb, 2 * gb))).toBeUndefined();
  });

  it('names a policy that there is', () => {
    const access = { fast: { allowCreate: true } };
    const gold = { ...noRules, policies: { gold: { content: 'x' } } };
    expect(() => decide(access, { ...wish(1), policy: 'silver' }, gold)).toThrow(
      'storage policy "silver" is unknown; there are: gold',
    );
    expect(() => decide(access, { ...wish(1), policy: 'constructor' }, gold)).toThrow('is unknown');
    expect(decide(access, { ...wish(1), policy: 'gold' }, gold)).toBeUndefined();
  });

  it('has a total that may be reached and not exceeded', () => {
    expect(decide({ fast: { allowCreate: true, totalSizeBytes: 10 * gb } }, wish(gb))).toBe(10 * gb);
    expect(() => decideTotal(dev, wish(gb), 9 * gb, 10 * gb)).not.toThrow();
    expect(() => decideTotal(dev, wish(gb), 9 * gb + 1, 10 * gb)).toThrow(
      'volume db@fast: The total volume size exceeds the usage quota',
    );
  });
});
