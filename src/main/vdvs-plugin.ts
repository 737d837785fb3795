import { type ChildProcess, fork } from 'node:child_process';
import { openPlugin } from '../plugin/open-plugin.ts';
import { passConnection } from '../plugin/passed-socket.ts';

/** The file of the main process: beside this one, bundled or not. */
const mainFile = import.meta.filename.replace(/(\.\w+)$/, '-main$1');

/**
 * First process of the vDVS plugin. It listens, and starts the main process that answers, before it loads anything else;
 * so the socket accepts in time on a busy host, and stays when the main process has to be started again.
 */
async function main(): Promise<void> {
  const socket = await openPlugin(
    process.env.VDVS_PLUGIN_SOCKET || '/run/docker/plugins/vdvs.sock',
    process.env.VDVS_MOUNT_ROOT || '/mnt/vdvs/volumes',
  );
  const now: { child?: ChildProcess } = {};
  const forkMain = () => {
    const child = fork(mainFile, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    now.child = child;
    const early: unknown[] = [];
    child.on('message', (message) => early.push(message));
    return { child, early };
  };
  const first = forkMain();
  socket.handOver((connection) => {
    if (now.child) passConnection(now.child, connection);
  });
  const { runVdvsGuard } = await import('./wiring/vdvs-guard.ts');
  await runVdvsGuard(first, forkMain);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exit(1);
});
