import type { Lab } from './lab.ts';
import type { Say } from './steps.ts';

/** Deploys the product's stack and waits until all of it is ready. */
export async function deployStack(_lab: Lab, _say: Say, _signal?: AbortSignal): Promise<void> {
  throw new Error('not yet');
}
