import { openPlugin } from '../plugin/open-plugin.ts';

/** The vFile plugin of one node. The socket comes before the program: see `openPlugin`. */
async function main(): Promise<void> {
  const socket = await openPlugin(
    process.env.VFILE_PLUGIN_SOCKET || '/run/docker/plugins/vfile.sock',
    process.env.VFILE_MOUNT_ROOT || '/mnt/vfile/volumes',
  );
  const { runVfilePlugin } = await import('./wiring/vfile-plugin.ts');
  await runVfilePlugin(socket);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exit(1);
});
