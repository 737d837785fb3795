import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/lib/manual-clock.ts';
import type { LocalNode } from '../../../src/swarm/swarm.ts';
import { createManagers } from '../../../src/vdvs/managers.ts';

describe('the managers', () => {
  const start = (fixed?: string[]) => {
    const clock = new ManualClock();
    const engine = { addresses: [] as string[], asked: 0 };
    const changes: string[] = [];
    const managers = createManagers({
      local: async (): Promise<LocalNode> => {
        engine.asked += 1;
        return {
          nodeId: 'n2',
          clusterId: 'c',
          address: 'm2',
          isManager: true,
          hostname: 'h',
          managers: engine.addresses.map((address) => ({ nodeId: address, address })),
        };
      },
      fixed,
      onChange: (addresses) => void changes.push(addresses.join()),
      clock,
    });
    return { clock, engine, changes, managers };
  };

  it('are told by the engine, this node first, and not asked for again and again', async () => {
    const { clock, engine, changes, managers } = start();
    await expect(managers.addresses()).rejects.toThrow('not in a Swarm, or not yet');
    engine.addresses = ['m1', 'm2', 'm3'];
    expect(await managers.addresses()).toEqual(['m2', 'm1', 'm3']);
    await clock.advance(60_000);
    await managers.addresses();
    expect(engine.asked).toBe(2);
    expect(changes).toEqual(['m2,m1,m3']);
  });

  it('are asked for soon when none could be reached, the known ones serving meanwhile', async () => {
    const { clock, engine, managers } = start();
    engine.addresses = ['m1'];
    await managers.addresses();
    engine.addresses = ['m4'];
    managers.suspect();
    await clock.advance(6_000);
    expect(await managers.addresses()).toEqual(['m1']);
    await clock.settle();
    expect(await managers.addresses()).toEqual(['m4']);
  });

  it('are those of the settings when there are any', async () => {
    const { engine, managers } = start(['x']);
    expect(await managers.addresses()).toEqual(['x']);
    expect(engine.asked).toBe(0);
  });
});
