import { openEarlySocket } from '../plugin/early-socket.ts';

/** The vFile plugin of one node. The socket comes before the program: see `openEarlySocket`. */
async function main(): Promise<void> {
  const socket = await openEarlySocket(process.env.VFILE_PLUGIN_SOCKET || '/run/docker/plugins/vfile.sock');
  const { runVfilePlugin } = await import('./wiring/vfile-plugin.ts');
  await runVfilePlugin(socket);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exit(1);
});
