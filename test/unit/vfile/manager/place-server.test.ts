import { describe, expect, it } from 'vitest';
import type { NodeFacts } from '../../../../src/vfile/manager/observed.ts';
import { admits, placeServer } from '../../../../src/vfile/manager/place-server.ts';

const node = (id: string, patch: Partial<NodeFacts> = {}): NodeFacts => ({
  id,
  host: `host-${id}`,
  inSwarm: true,
  availability: 'active',
  state: 'ready',
  alive: true,
  silentMs: 0,
  drivers: ['vdvs', 'local'],
  leads: 0,
  servers: 0,
  ...patch,
});
const place = (nodes: NodeFacts[], avoid?: string) =>
  placeServer({ nodes, baseDriver: 'vdvs', ...(avoid ? { avoid: [avoid] } : {}) });

describe('where a file server may run', () => {
  it.each<[string, NodeFacts[], string | undefined, string[]]>([
    ['anywhere when all are fit', [node('a'), node('b')], undefined, []],
    ['not where a leader runs', [node('a', { leads: 2 }), node('b')], undefined, ['node.id!=a']],
    [
      'but there too when the others serve many more volumes',
      [node('a', { leads: 2 }), node('b', { servers: 3 })],
      undefined,
      [],
    ],
    [
      'where a leader runs when there is nothing else',
      [node('a', { leads: 2 }), node('b', { availability: 'drain' })],
      undefined,
      ['node.id!=b'],
    ],
    ['not where it just failed', [node('a'), node('b')], 'a', ['node.id!=a']],
    [
      'where it just failed when there is nothing else',
      [node('a'), node('b', { state: 'down' })],
      'a',
      ['node.id!=b'],
    ],
    [
      'rather on a leader than where it just failed',
      [node('a'), node('b', { leads: 2 })],
      'a',
      ['node.id!=a'],
    ],
    [
      'never on what is down, paused, silent or lacks the base driver',
      [
        node('a', { state: 'down' }),
        node('b', { availability: 'pause' }),
        node('c', { alive: false }),
        node('d', { drivers: ['vdvs2'] }),
        node('e'),
      ],
      undefined,
      ['node.id!=a', 'node.id!=b', 'node.id!=c', 'node.id!=d'],
    ],
    ['nodes that left need no constraint', [node('a', { inSwarm: false }), node('b')], undefined, []],
  ])('%s', (_when, nodes, avoid, constraints) => {
    expect(place(nodes, avoid)).toEqual({ fit: true, constraints });
  });

  it.each<[string, NodeFacts[], string[]]>([
    [
      'two of three, the calmest',
      [node('a', { leads: 5 }), node('b', { leads: 2 }), node('c')],
      ['node.id!=a'],
    ],
    ['both of two', [node('a', { leads: 5 }), node('b')], []],
    ['the only one', [node('a', { leads: 5 }), node('b', { availability: 'drain' })], ['node.id!=b']],
  ])('where a standby is to have a place: %s', (_when, nodes, constraints) => {
    expect(placeServer({ nodes, baseDriver: 'vdvs', standby: true })).toEqual({ fit: true, constraints });
  });

  it('where every node leads something, where its loss costs least', () => {
    const nodes = [node('a', { leads: 2 }), node('b', { leads: 3 }), node('c', { leads: 1 })];
    expect(place(nodes)).toEqual({ fit: true, constraints: ['node.id!=a', 'node.id!=b'] });
  });

  it('nowhere: says why for each node', () => {
    expect(place([node('a', { availability: 'drain' }), node('b', { alive: false })])).toEqual({
      fit: false,
      reason: 'no node is fit to serve (host-a: drained; host-b: no sign of life from its vFile plugin)',
    });
    expect(place([])).toEqual({ fit: false, reason: 'no node is fit to serve (no nodes are known)' });
  });

  it('a plugin with tag latest is the driver of that name', () => {
    expect(placeServer({ nodes: [node('a')], baseDriver: 'vdvs:latest' })).toMatchObject({ fit: true });
  });

  it('constraints are read back as Docker shows them', () => {
    expect(admits(['node.id!=a', 'node.id != b'], 'a')).toBe(false);
    expect(admits(['node.id!=a', 'node.id != b'], 'b')).toBe(false);
    expect(admits(['node.id!=a'], 'ab')).toBe(true);
  });
});
