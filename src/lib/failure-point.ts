import { readFileSync, rmSync } from 'node:fs';

/**
 * A named point of an operation at which a test may have the process die. Everywhere but in tests calling it does nothing.
 */
export type FailurePoint = (name: string) => void;

/** Where a test may name the point for a process that runs in a container: where only root can write, and something can be written. */
export const failureFiles = { plugin: '/run/vdvs/fail-at', service: '/dev/shm/vdvs-fail-at' } as const;

function namedIn(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * @param wanted the one point at which to die; `undefined`: none.
 * @param file names such a point for once: it is deleted before the process dies.
 * @param die ends the process without another word, as the loss of power would.
 */
export function createFailurePoint(wanted: string | undefined, file: string, die: () => void): FailurePoint {
  return (name) => {
    if (name === wanted) return die();
    if (namedIn(file) !== name) return;
    rmSync(file, { force: true });
    die();
  };
}
