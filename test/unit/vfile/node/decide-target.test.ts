import { describe, expect, it } from 'vitest';
import { decideTarget, type TargetInput } from '../../../../src/vfile/node/decide-target.ts';

const first = { address: '10.0.0.1', epoch: 1, instance: 1 };
const restarted = { ...first, instance: 2 };
const moved = { address: '10.0.0.2', epoch: 2, instance: 1 };
const serving = (server: typeof first | undefined) => ({ known: true, server }) as const;
const unknown = { known: false, reason: 'etcd is out of reach' } as const;
const at = (address: string, connected = true) => ({ address, connected });
const parked = '127.0.0.1';

const cases: { name: string; given: Partial<TargetInput>; expected: unknown }[] = [
  {
    name: 'etcd out of reach: leaves a transport alone, whatever it points at',
    given: { serving: unknown, transport: at('10.0.0.9', false), aimedAt: undefined },
    expected: { do: 'leave' },
  },
  { name: 'all is well', given: {}, expected: { do: 'leave' } },
  {
    name: 'connection lost, the server as before: the kernel connects again by itself',
    given: { transport: at(first.address, false) },
    expected: { do: 'leave' },
  },
  { name: 'the server is gone', given: { serving: serving(undefined) }, expected: { do: 'park' } },
  {
    name: 'the server is gone and the transport parked',
    given: { serving: serving(undefined), transport: at(parked), aimedAt: undefined },
    expected: { do: 'leave' },
  },
  {
    name: 'the server is gone but nobody accepts at the parking place: never points at what refuses',
    given: { serving: serving(undefined), parkingOpen: false },
    expected: { do: 'leave' },
  },
  {
    name: 'a server is ready, the transport parked',
    given: { serving: serving(moved), transport: at(parked), aimedAt: undefined },
    expected: { do: 'aim', server: moved },
  },
  {
    name: 'the server moved and its absence was never seen',
    given: { serving: serving(moved), aimedAt: first },
    expected: { do: 'aim', server: moved },
  },
  {
    name: 'the server was started again at its address and its absence was never seen: by way of the parking place',
    given: { serving: serving(restarted), aimedAt: first },
    expected: { do: 'park' },
  },
  {
    name: 'the same, but nobody accepts at the parking place',
    given: { serving: serving(restarted), aimedAt: first, parkingOpen: false },
    expected: { do: 'aim', server: restarted },
  },
  {
    name: 'parked by a plugin that is no more, the server back at its old address',
    given: { serving: serving(restarted), transport: at(parked), aimedAt: undefined },
    expected: { do: 'aim', server: restarted },
  },
  {
    name: 'the plugin is new, the transport connected to the server',
    given: { aimedAt: undefined },
    expected: { do: 'adopt', server: first },
  },
  {
    name: 'the plugin is new, the transport points at the server but is not connected: backing off perhaps',
    given: { aimedAt: undefined, transport: at(first.address, false) },
    expected: { do: 'park' },
  },
  { name: 'the server does not answer this node', given: { silent: true }, expected: { do: 'park' } },
  {
    name: 'the server does not answer and etcd is out of reach: parked all the same',
    given: { serving: { ...unknown, last: first }, silent: true },
    expected: { do: 'park' },
  },
  {
    name: 'the server does not answer and the transport is parked',
    given: { silent: true, transport: at(parked), aimedAt: undefined },
    expected: { do: 'leave' },
  },
  {
    name: 'parked, and the server that was known last answers again, though etcd is out of reach',
    given: { serving: { ...unknown, last: first }, transport: at(parked), aimedAt: undefined },
    expected: { do: 'aim', server: first },
  },
  {
    name: 'etcd is out of reach and the server that was known last answers: left alone',
    given: { serving: { ...unknown, last: restarted } },
    expected: { do: 'leave' },
  },
];

describe('where a transport should point', () => {
  it.each(cases)('$name', ({ given, expected }) => {
    const calm = {
      serving: serving(first),
      silent: false,
      transport: at(first.address),
      aimedAt: first,
      parkingOpen: true,
    } as const;
    expect(decideTarget({ ...calm, ...given })).toMatchObject(expected as object);
  });
});
