import { type ChildProcess, fork } from 'node:child_process';
import { systemClock } from '../lib/clock.ts';
import { run } from '../lib/exec.ts';
import { isLoadOnly } from '../lib/load-only.ts';
import { beFoundOnce, openEarlySocket } from '../plugin/early-socket.ts';
import { shouldStartAgain } from '../plugin/mount-root.ts';
import { passConnection } from '../plugin/passed-socket.ts';

/** The file of the main process: beside this one, bundled or not. */
const mainFile = import.meta.filename.replace(/(\.\w+)$/, '-main$1');

/**
 * First process of the vDVS plugin. Once the engine sees what it mounts, it listens, and starts the main process that answers, before it loads anything else;
 * so the socket accepts in time on a busy host, and stays when the main process has to be started again.
 */
async function main(): Promise<void> {
  const path = process.env.VDVS_PLUGIN_SOCKET || '/run/docker/plugins/vdvs.sock';
  const root = process.env.VDVS_MOUNT_ROOT || '/mnt/vdvs/volumes';
  if (!isLoadOnly() && (await shouldStartAgain({ root, run }))) {
    console.error('what this plugin mounts would not be seen by the engine: starting again');
    await beFoundOnce(path, systemClock);
    process.exit(1);
  }
  const socket = await openEarlySocket(path);
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
