import { join } from 'node:path';

/** See there: what a test starts in a mount name space of its own goes through it. */
export const ownMounts = join(import.meta.dirname, 'own-mounts.sh');
