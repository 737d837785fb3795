import { openEarlySocket } from '../plugin/early-socket.ts';

/** The main process of the vDVS plugin, child of the guard. The socket comes before the program: see `openEarlySocket`. */
async function main(): Promise<void> {
  const socket = await openEarlySocket(process.env.VDVS_PLUGIN_SOCKET || '/run/docker/plugins/vdvs.sock');
  const { runVdvsPlugin } = await import('./wiring/vdvs-plugin-main.ts');
  await runVdvsPlugin(socket);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exit(1);
});
