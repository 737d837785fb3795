import { silentLog as log } from '../../src/lib/log.ts';
import { createDockerSwarm } from '../../src/swarm/docker-swarm.ts';
import { swarmContract } from '../contract/swarm.contract.ts';
import { image, openLab } from './fixture.ts';

// The contract that the twin in memory keeps, kept by a real engine in a real Swarm.
swarmContract("a lab host's engine", async () => ({
  swarm: createDockerSwarm({ socketPath: openLab().host('node1').dockerSocket, log }),
  image,
  command: ['sleep', '3600'],
  driver: 'local',
  prefix: `contract-${Date.now().toString(36)}`,
  stop: async () => undefined,
}));
