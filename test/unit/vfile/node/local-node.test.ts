import { beforeEach, describe, expect, it } from 'vitest';
import { VolumeError } from '../../../../src/lib/errors.ts';
import { silentLog } from '../../../../src/lib/log.ts';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import type { LocalNode } from '../../../../src/swarm/swarm.ts';
import { createLocalNodeSource, type LocalNodeSource } from '../../../../src/vfile/node/local-node.ts';
import type { NodeMemory } from '../../../../src/vfile/node/node-state.ts';

const told = {
  nodeId: 'n2',
  address: '10.0.0.2',
  hostname: 'host2',
  clusterId: 'c1',
  isManager: true,
  managers: [
    { nodeId: 'n1', address: '10.0.0.1' },
    { nodeId: 'n2', address: '10.0.0.2' },
  ],
} satisfies LocalNode;
const node = { nodeId: 'n2', address: '10.0.0.2', hostname: 'host2' };

describe('this node and its managers', () => {
  let clock: ManualClock;
  let memory: NodeMemory;
  let engine: () => Promise<LocalNode>;
  let asked: number;
  let source: LocalNodeSource;

  beforeEach(() => {
    clock = new ManualClock();
    memory = { inUse: {}, managers: [], known: {} };
    asked = 0;
    source = createLocalNodeSource({
      swarm: {
        local: async () => {
          asked += 1;
          return await engine();
        },
      },
      state: {
        get memory() {
          return memory;
        },
        rebooted: false,
        update: (change) => {
          memory = { ...memory, ...change };
        },
        saved: async () => undefined,
      },
      clock,
      log: silentLog,
      signal: new AbortController().signal,
      etcdPort: 2379,
      setWaitingFor: () => undefined,
    });
  });

  it('are asked of the engine until it tells, and remembered', async () => {
    engine = async () => {
      if (asked < 3) throw new VolumeError('unavailable', 'not in a Swarm yet');
      return told;
    };
    const known = source.known();
    await clock.advance(1_000);
    expect(await known).toEqual(node);
    expect(await source.endpoints()).toEqual(['10.0.0.2:2379', '10.0.0.1:2379']);
    expect(asked).toBe(3);
  });

  it('are not waited for when they are remembered, and follow once an engine that starts answers', async () => {
    memory = { ...memory, node, managers: ['10.0.0.2', '10.0.0.9'] };
    let answer: (local: LocalNode) => void = () => undefined;
    engine = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    expect(await source.known()).toEqual(node);
    expect(await source.endpoints()).toEqual(['10.0.0.2:2379', '10.0.0.9:2379']);
    expect(asked).toBe(1);
    answer(told);
    await clock.settle();
    expect(await source.endpoints()).toEqual(['10.0.0.2:2379', '10.0.0.1:2379']);
  });

  it('stay as they were while the engine does not answer', async () => {
    memory = { ...memory, node, managers: ['10.0.0.2'] };
    engine = () => Promise.reject(new VolumeError('timeout', 'the engine does not answer'));
    for (let time = 1; time <= 3; time++) {
      expect(await source.known()).toEqual(node);
      expect(await source.endpoints()).toEqual(['10.0.0.2:2379']);
    }
  });
});
