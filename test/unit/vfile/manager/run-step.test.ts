import { describe, expect, it } from 'vitest';
import { createMemoryStore } from '../../../../src/etcd/memory-store.ts';
import { ManualClock } from '../../../../src/lib/manual-clock.ts';
import { createMemorySwarm } from '../../../../src/swarm/memory-swarm.ts';
import type { EngineVolumes } from '../../../../src/swarm/swarm.ts';
import type { Step } from '../../../../src/vfile/manager/observed.ts';
import { runStep } from '../../../../src/vfile/manager/run-step.ts';
import { readVfileSettings } from '../../../../src/vfile/settings.ts';
import { spec } from './plan-builders.ts';

function bench() {
  const clock = new ManualClock();
  const swarm = createMemorySwarm({ clock });
  const created: unknown[] = [];
  const volumes: EngineVolumes = {
    createVolume: async (name, driver, options) => void created.push([name, driver, options]),
    removeVolume: async () => undefined,
    inspectVolume: async () => undefined,
  };
  const parts = {
    store: createMemoryStore({ clock }),
    swarm,
    volumes,
    leading: { condition: { key: 'leader', is: 'absent' } as const, held: () => true },
    clusterId: 'c1',
    settings: readVfileSettings({}),
    managers: async () => ['10.0.0.1'],
  };
  const run = (step: Step, baseDriver = 'vdvs') => runStep(parts, spec({ baseDriver }), step);
  return { swarm, created, run };
}

describe('the steps of the manager', () => {
  it.each([
    ['vdvs', { size: '100mb', attach: 'deferred' }, true],
    ['vsphere:latest', { size: '100mb', attach: 'deferred' }, true],
    ['rexray', {}, false],
  ])('a base volume on %s is made with %o', async (driver, options, baseDeferred) => {
    const { created, run } = bench();
    expect(await run({ do: 'createBase' }, driver)).toEqual({ baseReady: true, baseDeferred });
    expect(created).toEqual([['_vF_shared', driver, options]]);
  });

  it('the second task is taken back only while it has no node', async () => {
    const { swarm, run } = bench();
    swarm.addNode({ id: 'n1' });
    await run({ do: 'createService', constraints: [] });
    const [service] = await swarm.services('org.vfile.volume');
    const scale = (replicas: number) =>
      run({ do: 'scaleService', serviceId: service?.id ?? '', replicas, constraints: undefined });
    await scale(2);
    await scale(1);
    expect(await swarm.services('org.vfile.volume')).toMatchObject([{ replicas: 1 }]);
    await scale(2);
    swarm.addNode({ id: 'n2' });
    await expect(scale(1)).rejects.toMatchObject({ code: 'conflict' });
  });
});
