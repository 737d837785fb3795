/** Starts of ganesha within one of our epochs that stay distinct. */
const instances = 1024;

/**
 * The epoch that ganesha tells its clients apart by: part of client IDs, state IDs and the write verifier. By default it
 * is the time of its start in seconds, which two hosts whose clocks differ, or two starts in a row, can share; a client
 * would then not notice the restart and take lost writes for written. So it is derived from what never repeats.
 * @param epoch of the claim, from 1
 * @param instance start within the epoch, from 1
 * @returns 32 bits, never 0, distinct from those of any start of the volume in the last four million epochs
 */
export function serverEpoch(epoch: number, instance: number): number {
  const value = ((epoch % 2 ** 22) * instances + (instance % instances)) % 2 ** 32;
  return value === 0 ? 1 : value;
}
