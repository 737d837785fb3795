import { socketOfParent } from '../plugin/passed-socket.ts';

/** The main process of the vDVS plugin, child of the guard, which listens and passes connections on. */
async function main(): Promise<void> {
  // Before the program is loaded: connections may be passed on already.
  const socket = socketOfParent(process.env.VDVS_PLUGIN_SOCKET || '/run/docker/plugins/vdvs.sock');
  const { runVdvsPlugin } = await import('./wiring/vdvs-plugin-main.ts');
  await runVdvsPlugin(socket);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exit(1);
});
