import { systemClock } from '../lib/clock.ts';
import { run } from '../lib/exec.ts';
import { isLoadOnly } from '../lib/load-only.ts';
import { beFoundOnce, openEarlySocket } from '../plugin/early-socket.ts';
import { shouldStartAgain } from '../plugin/mount-root.ts';

/** The vFile plugin of one node. The mount root and the socket come before the program: see `shouldStartAgain`, `openEarlySocket`. */
async function main(): Promise<void> {
  const path = process.env.VFILE_PLUGIN_SOCKET || '/run/docker/plugins/vfile.sock';
  const root = process.env.VFILE_MOUNT_ROOT || '/mnt/vfile/volumes';
  if (!isLoadOnly() && (await shouldStartAgain({ root, run }))) {
    console.error('what this plugin mounts would not be seen by the engine: starting again');
    await beFoundOnce(path, systemClock);
    process.exit(1);
  }
  const socket = await openEarlySocket(path);
  const { runVfilePlugin } = await import('./wiring/vfile-plugin.ts');
  await runVfilePlugin(socket);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exit(1);
});
