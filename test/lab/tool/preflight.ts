import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { VolumeError } from '../../../src/lib/errors.ts';
import { run } from '../../../src/lib/exec.ts';
import type { LabPaths } from './paths.ts';

/** Programs the lab runs on this machine and the Debian package each comes from. */
const programs: Readonly<Record<string, string>> = {
  '/usr/sbin/debootstrap': 'debootstrap',
  '/sbin/ip': 'iproute2',
  '/sbin/mkfs.ext4': 'e2fsprogs',
  '/usr/bin/unshare': 'util-linux',
  '/usr/bin/flock': 'util-linux',
  '/bin/mount': 'mount',
};

/** What a machine is like, as far as the lab cares; read at once so that the judgement is pure. */
export interface Machine {
  readonly user: number;
  readonly architecture: string;
  readonly osRelease: string;
  readonly tun: boolean;
  readonly loop: boolean;
  readonly overlay: boolean;
  readonly freeBytes: number;
  readonly freeMemoryBytes: number;
}

/** Everything that keeps the lab from working on this machine; empty when nothing does. */
export function missingOn(machine: Machine): string[] {
  const missing: string[] = [];
  if (machine.user !== 0) missing.push('the lab needs root (namespaces, mounts, taps); run it as root');
  if (machine.architecture !== 'x64')
    missing.push(`user-mode Linux exists for x86-64 only, not for ${machine.architecture}`);
  if (!/^ID(_LIKE)?=.*debian/m.test(machine.osRelease)) {
    missing.push('this is not a Debian-like system; the lab is built from and with Debian packages');
  }
  if (!machine.tun)
    missing.push('there is no /dev/net/tun; load the module "tun" or give this container the device');
  if (!machine.loop)
    missing.push('there is no /dev/loop-control; load the module "loop" or give this container the device');
  if (!machine.overlay) missing.push('the kernel has no overlayfs; load the module "overlay"');
  if (machine.freeBytes < 6e9)
    missing.push(`only ${(machine.freeBytes / 1e9).toFixed(1)} GB of disk are free; the lab needs 6 GB`);
  if (machine.freeMemoryBytes < 3e9) {
    missing.push(
      `only ${(machine.freeMemoryBytes / 1e9).toFixed(1)} GB of memory are free; the lab needs 3 GB`,
    );
  }
  return missing;
}

/**
 * Checks the machine before anything is done, and installs what is missing of Debian's packages.
 * @throws VolumeError `unavailable` naming everything that is missing.
 */
export async function preflight(paths: LabPaths, say: (text: string) => void): Promise<void> {
  // Where they are modules and there is a modprobe; the check tells whether it helped.
  await run('modprobe', ['-a', 'tun', 'loop', 'overlay'], { timeoutMs: 10_000 }).catch(() => {});
  const missing = missingOn(readMachine(paths));
  if (missing.length === 0 && !(await canMakeNamespace()))
    missing.push('network namespaces cannot be made here (CAP_SYS_ADMIN)');
  if (missing.length > 0) throw new VolumeError('unavailable', missing.join('\n'));
  const wanted = Object.entries(programs).filter(([program]) => !existsSync(program));
  if (wanted.length === 0) return;
  const packages = [...new Set(wanted.map(([, name]) => name))];
  say(`installing ${packages.join(', ')}`);
  const options = { timeoutMs: 300_000, env: { DEBIAN_FRONTEND: 'noninteractive' } };
  await run('apt-get', ['update', '-q'], options);
  await run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], options);
}

async function canMakeNamespace(): Promise<boolean> {
  return run('unshare', ['--net', '--mount', '--pid', '--fork', 'true'], { timeoutMs: 5_000 }).then(
    () => true,
    () => false,
  );
}

function readMachine(paths: LabPaths): Machine {
  const text = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : '');
  let folder = paths.dir;
  while (!existsSync(folder)) folder = dirname(folder);
  const disk = statfsSync(folder);
  const memory = /^MemAvailable:\s+(\d+) kB/m.exec(text('/proc/meminfo'))?.[1];
  return {
    user: process.getuid?.() ?? -1,
    architecture: process.arch,
    osRelease: text('/etc/os-release'),
    tun: existsSync('/dev/net/tun'),
    loop: existsSync('/dev/loop-control'),
    overlay: /\toverlay$/m.test(text('/proc/filesystems')),
    freeBytes: disk.bavail * disk.bsize,
    freeMemoryBytes: Number(memory ?? 0) * 1024,
  };
}
