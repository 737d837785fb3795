import { systemClock } from '../lib/clock.ts';
import { run } from '../lib/exec.ts';
import { isLoadOnly } from '../lib/load-only.ts';
import { beFoundOnce, type EarlySocket, openEarlySocket } from './early-socket.ts';
import { shouldStartAgain } from './mount-root.ts';

/**
 * What a plugin's first process does before it loads anything else: it opens the mount root, and listens. Ends the process
 * where the engine would not see what it mounts; the engine starts it again.
 * @param socket path of the unix socket. @param root see `openMountRoot`.
 */
export async function openPlugin(socket: string, root: string): Promise<EarlySocket> {
  if (!isLoadOnly() && (await shouldStartAgain({ root, run }))) {
    console.error('what this plugin mounts would not be seen by the engine: starting again');
    await beFoundOnce(socket, systemClock);
    process.exit(1);
  }
  return await openEarlySocket(socket);
}
