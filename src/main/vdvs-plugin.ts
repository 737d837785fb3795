import { fork } from 'node:child_process';

/** The file of the main process: beside this one, bundled or not. */
const mainFile = import.meta.filename.replace(/(\.\w+)$/, '-main$1');

function forkMain() {
  const child = fork(mainFile, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const early: unknown[] = [];
  child.on('message', (message) => early.push(message));
  return { child, early };
}

/** First process of the vDVS plugin. It starts the one that listens before it loads anything itself. */
async function main(): Promise<void> {
  const first = forkMain();
  const { runVdvsGuard } = await import('./wiring/vdvs-guard.ts');
  await runVdvsGuard(first, forkMain);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exit(1);
});
