import { readdirSync, readFileSync } from 'node:fs';
import { run } from '../../src/lib/exec.ts';
import { type LabPaths, netnsExists } from './tool/paths.ts';

/** Everything of a lab that can be found on this machine: processes, mounts, loop devices, the namespace, cgroups. */
export async function leftovers(paths: LabPaths): Promise<string[]> {
  const { stdout: loops } = await run('losetup', ['--all'], { timeoutMs: 10_000 });
  const cgroups = await run('find', ['/sys/fs/cgroup', '-type', 'd', '-path', `*/${paths.netns}*`], {
    timeoutMs: 10_000,
  });
  const lines = (text: string, kind: string) =>
    text
      .split('\n')
      .filter((line) => line.includes(`${paths.dir}/`) || line.includes(paths.netns))
      .map((line) => `${kind}: ${line}`);
  return [
    ...processes(paths.dir),
    ...lines(readFileSync('/proc/self/mounts', 'utf8'), 'mount'),
    ...lines(loops, 'loop device'),
    ...lines(cgroups.stdout, 'cgroup'),
    ...(netnsExists(paths.netns) ? [`namespace: ${paths.netns}`] : []),
  ];
}

/** Processes that work on the folder, by their arguments or by the environment that all of a host's processes have. */
function processes(dir: string): string[] {
  const read = (file: string) => {
    try {
      return readFileSync(file, 'utf8').replaceAll('\0', ' ');
    } catch {
      return '';
    }
  };
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter(
      (pid) =>
        read(`/proc/${pid}/cmdline`).includes(`${dir}/`) || read(`/proc/${pid}/environ`).includes(`=${dir}/`),
    )
    .map((pid) => `process: ${pid} ${read(`/proc/${pid}/cmdline`)}`);
}
