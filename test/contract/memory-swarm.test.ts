import { systemClock } from '../../src/lib/clock.ts';
import { createMemorySwarm } from '../../src/swarm/memory-swarm.ts';
import { swarmContract } from './swarm.contract.ts';

swarmContract('the twin in memory', async () => {
  const swarm = createMemorySwarm({ clock: systemClock, startMs: 10 });
  for (const id of ['n1', 'n2', 'n3']) swarm.addNode({ id });
  return {
    swarm,
    image: 'image',
    command: ['run'],
    driver: 'vdvs',
    prefix: 'contract',
    stop: async () => undefined,
  };
});
