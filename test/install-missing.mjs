import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** What tests other than the unit tests and the benchmark need, programs or files, and the Debian packages that have them. */
const programs = {
  etcd: 'etcd-server',
  etcdctl: 'etcd-client',
  openssl: 'openssl',
  debootstrap: 'debootstrap',
  losetup: 'mount',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  xfs_io: 'xfsprogs',
  'qemu-img': 'qemu-utils',
  ip: 'iproute2',
  perl: 'perl-base',
  gcc: 'gcc',
  '/usr/include/stdio.h': 'libc6-dev',
};
const places = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Installs with apt-get what is not there yet; ends the process when it cannot. */
export function installMissing() {
  const missing = Object.entries(programs).filter(
    ([program]) => !places.some((place) => existsSync(program[0] === '/' ? program : join(place, program))),
  );
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  console.log(`installing ${packages.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [
    ['update', '-q'],
    ['install', '-y', '-q', '--no-install-recommends', ...packages],
  ]) {
    const { status, stderr, error } = spawnSync('apt-get', args, { env, encoding: 'utf8' });
    if (status !== 0) {
      console.error(`apt-get ${args.join(' ')}: ${error?.message ?? stderr}`);
      console.error(`install by hand what is missing: ${missing.map(([program]) => program).join(', ')}`);
      process.exit(1);
    }
  }
}
