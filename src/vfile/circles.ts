import type { VolumeStatus } from './types.ts';

/** A move counts for so long, in ms; so many are tried, and no more. */
const limits = { countMs: 10 * 60_000, tried: 2 } as const;

/** How many moves are remembered. */
export const movesKept = 4;

/**
 * Whether the volume's server has been given to other hosts already without that it helped: what fails there as well is left where
 * it is, so that its clients at least do not wait for moves too.
 * @param now wall clock, ms.
 */
export function movedInCircles(status: Pick<VolumeStatus, 'unaskedMoves'> | undefined, now: number): boolean {
  const lately = (status?.unaskedMoves ?? []).filter((at) => now - Date.parse(at) < limits.countMs);
  return lately.length >= limits.tried;
}
