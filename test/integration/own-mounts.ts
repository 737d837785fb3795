import { join } from 'node:path';

const script = join(import.meta.dirname, 'own-mounts.sh');

/**
 * How to start `command` in a mount name space of its own, without what other tests have mounted.
 * @param folder this test's temporary folder, whose mounts are kept.
 * @param flags more for `unshare`.
 */
export function inOwnMounts(
  folder: string,
  flags: readonly string[],
  command: readonly string[],
): [string, ...string[]] {
  return ['unshare', '--mount', ...flags, 'sh', script, folder, ...command];
}
