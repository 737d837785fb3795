import { describe, expect, it } from 'vitest';
import { isSelfFencing } from '../../../src/etcd/etcd-txn.ts';
import type { Condition, Operation } from '../../../src/etcd/store.ts';

const put: Operation = { put: '/a', value: 1 };
const remove: Operation = { delete: '/a' };
const removeAll: Operation = { deletePrefix: '/' };

describe('a transaction can be sent twice without harm', () => {
  const cases: [string, Condition[], Operation[], boolean][] = [
    ['not without conditions', [], [put], false],
    ['when it creates what must be absent', [{ key: '/a', is: 'absent' }], [put], true],
    ['not when it removes what must be absent', [{ key: '/a', is: 'absent' }], [remove], false],
    ['when it removes what must be present', [{ key: '/a', is: 'present' }], [remove], true],
    ['not when it rewrites what must be present', [{ key: '/a', is: 'present' }], [put], false],
    ['when it changes what must be unchanged', [{ key: '/a', modRevision: 5 }], [put], true],
    ['when it removes what must be unchanged', [{ key: '/a', modRevision: 5 }], [removeAll], true],
    ['when it creates at revision 0', [{ key: '/a', modRevision: 0 }], [put], true],
    ['not when it removes at revision 0', [{ key: '/a', modRevision: 0 }], [remove], false],
    ['not when it rewrites what must be of one birth', [{ key: '/a', createRevision: 5 }], [put], false],
    ['when it removes what must be of one birth', [{ key: '/a', createRevision: 5 }], [remove], true],
    ['not when the conditions are about other keys', [{ key: '/b', modRevision: 5 }], [put], false],
    [
      'when one condition of several is enough',
      [
        { key: '/leader', createRevision: 5 },
        { key: '/a', modRevision: 7 },
      ],
      [put],
      true,
    ],
  ];
  it.each(cases)('%s', (_, when, then, expected) => {
    expect(isSelfFencing(when, then)).toBe(expected);
  });
});
