import { whole } from './fixture.ts';
import { Lab } from './tool/lab.ts';
import { plainSteps } from './tool/steps.ts';

/**
 * Brings one lab up for all lab tests: three managers. Takes it down afterwards, unless
 * `VFILE_LAB_KEEP=1` asks to leave it for a look.
 */
export async function setup(): Promise<() => Promise<void>> {
  const lab = new Lab({ steps: plainSteps((line) => process.stderr.write(`${line}\n`)) });
  await lab.up({ nodes: 3, managers: 3, bare: false });
  await whole(lab);
  return async () => {
    if (process.env.VFILE_LAB_KEEP !== '1') await lab.down();
  };
}
