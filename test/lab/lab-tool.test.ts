import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leftovers } from './leftovers.ts';
import { Lab } from './tool/lab.ts';
import { labPaths } from './tool/paths.ts';
import { childrenOf, namespacePeers } from './tool/processes.ts';
import { readHostState } from './tool/state.ts';
import { silentSteps } from './tool/steps.ts';
import { waitFor } from './tool/wait.ts';

/** Labs of its own, beside the one that the other tests use: that both work is part of what is tested. */
const newDir = () => mkdtempSync(join(process.env.VFILE_TEST_LABS ?? '/tmp', 'lab-'));
const dir = newDir();
const env = { VFILE_LAB_DIR: dir, VFILE_LAB_CACHE: labPaths(process.env).cache };
const lab = new Lab({ env, steps: silentSteps });
const size = { nodes: 2, managers: 1, bare: true };
const repo = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** The command line as a user starts it. */
function command(...args: string[]) {
  return execa(process.execPath, ['--import', 'tsx', 'test/lab/tool/main.ts', ...args], {
    cwd: repo,
    env,
    reject: false,
    timeout: 120_000,
    input: '',
  });
}

beforeAll(() => lab.up(size));
afterAll(async () => {
  await lab.down();
  rmSync(dir, { recursive: true, force: true });
});

test('the clock of each host is kept going: its kernel is what the signals go to', () => {
  /** '' of a process that has ended since it was listed: those of the hosts' programs come and go. */
  const read = (pid: number, file: string) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'utf8');
    } catch {
      return '';
    }
  };
  for (const host of lab.hosts) {
    const [init = 0] = childrenOf(readHostState(host)?.pid ?? 0);
    const peers = namespacePeers(init);
    const ticker = peers.find((pid) => read(pid, 'cmdline').includes('/tick.pl')) ?? expect.fail('none');
    const target = read(ticker, 'cmdline').split('\0').at(-2);
    const named = peers.filter((pid) => new RegExp(`^NSpid:.*\\t${target}$`, 'm').test(read(pid, 'status')));
    expect(named.map((pid) => read(pid, 'comm'))).toEqual(['linux.uml\n']);
  }
});

describe('commands on a host', () => {
  test('sh gives output, error output and exit code', async () => {
    const result = await lab.sh('node1', 'echo out; echo err >&2; hostname; exit 7');
    expect(result).toEqual({ exitCode: 7, stdout: 'out\nnode1\n', stderr: 'err\n' });
  });

  test('sh passes input through, a megabyte of it, unchanged', async () => {
    const input = 'äbcdefg\n'.repeat(120_000);
    const result = await lab.sh('node2', 'cat', { input });
    expect(result.stdout === input).toBe(true);
  });

  test('a command that runs into its deadline is killed on the host too', async () => {
    await expect(lab.sh('node1', 'exec sleep 4711', { timeoutMs: 500 })).rejects.toThrow(
      'not finished after 0.5 s',
    );
    await waitFor(
      async () => {
        const { exitCode } = await lab.sh('node1', 'pgrep -fx "sleep 4711"');
        return exitCode === 1 ? { done: true, value: undefined } : { done: false, reason: 'it still runs' };
      },
      { what: 'the end of the command', timeoutMs: 5_000 },
    );
  });

  test('docker speaks to that host, same output and exit code', async () => {
    expect(await lab.dockerOk('node2', ['info', '--format', '{{.Name}}'])).toBe('node2');
    const failed = await lab.docker('node1', [
      'run',
      '--rm',
      '--network',
      'none',
      'debian:trixie-slim',
      'sh',
      '-c',
      'exit 9',
    ]);
    expect(failed.exitCode).toBe(9);
  });

  test('the command line passes output and exit code on', async () => {
    const sh = await command('sh', 'node1', 'echo out; echo err >&2; exit 5');
    expect([sh.exitCode, sh.stdout, sh.stderr]).toEqual([5, 'out', 'err']);
    const docker = await command('docker', 'node1', 'run', '--rm', 'no-such-image:1');
    expect(docker.exitCode).toBe(125);
    expect(docker.stderr).toContain('no-such-image');
  });

  test('an unknown host is refused, naming those there are', async () => {
    const result = await command('sh', 'node9', 'true');
    expect(result.exitCode).toBe(125);
    expect(result.stderr).toBe('lab: no host is called node9; hosts: node1, node2');
  });
});

describe('the hosts', () => {
  test('they are a Swarm, one manager and one worker', async () => {
    const status = await lab.status();
    expect(status.ready).toBe(true);
    expect(status.hosts.map((host) => host.swarm)).toEqual(['manager', 'worker']);
  });

  test('they have no way out of their network', async () => {
    expect(await lab.shOk('node1', 'ip route show default')).toBe('');
  });

  test('they cannot reach one another over the wire that the lab uses', async () => {
    const { managementAddress } = lab.host('node2');
    expect((await lab.sh('node1', `ping -c1 -W1 ${managementAddress}`)).exitCode).not.toBe(0);
  });

  test('their kernel mounts NFS 4', async () => {
    await lab.shOk('node1', 'modprobe nfsv4 && grep -qw nfs4 /proc/filesystems');
  });

  test('one more "up" is quick and harmless', async () => {
    await lab.shOk('node1', 'touch /root/here');
    await lab.up(size);
    await lab.shOk('node1', 'test -e /root/here');
  });

  test('"up" with another size is refused', async () => {
    await expect(lab.up({ ...size, nodes: 3 })).rejects.toThrow('the lab is up with 2 hosts');
  });
});

describe('power and network', () => {
  test('a power cut loses what was not synced, and the host comes back with the same disk', async () => {
    await lab.shOk('node2', 'echo kept >/root/synced; sync /root /root/synced; echo lost >/dev/shm/memory');
    const cut = lab.sh('node2', 'sleep 60');
    const ended = expect(cut).rejects.toThrow('went away');
    await lab.kill('node2');
    await ended;
    expect((await lab.status()).hosts[1]?.power).toBe('down');
    await expect(lab.sh('node2', 'true')).rejects.toThrow('node2 is down');
    await lab.start('node2');
    expect(await lab.shOk('node2', 'cat /root/synced; ls /dev/shm')).toBe('kept');
    await waitFor(
      async () => {
        const state = await lab.dockerOk('node1', ['node', 'inspect', 'node2', '-f', '{{.Status.State}}']);
        return state === 'ready' ? { done: true, value: undefined } : { done: false, reason: state };
      },
      { what: 'node2 to be back in the Swarm', timeoutMs: 60_000 },
    );
  });

  test('a host that is cut off reaches nobody, but the lab reaches it; mended it is back', async () => {
    const ping = () => lab.sh('node2', `ping -c1 -W1 ${lab.addressOf('node1')}`);
    expect((await ping()).exitCode).toBe(0);
    await lab.cut('node2');
    expect((await ping()).exitCode).toBe(1);
    expect(await lab.dockerOk('node2', ['ps', '-q'])).toBe('');
    expect((await lab.status()).hosts[1]?.network).toBe('cut');
    await lab.mend('node2');
    expect((await ping()).exitCode).toBe(0);
  });

  test('a frozen host stands still and goes on where it was', async () => {
    const before = await lab.shOk('node2', 'cat /proc/sys/kernel/random/boot_id');
    const running = lab.sh('node2', 'sleep 1; echo survived');
    await lab.freeze('node2');
    expect((await lab.status()).hosts[1]?.power).toBe('frozen');
    await expect(lab.sh('node2', 'true')).rejects.toThrow('node2 is frozen');
    const answers = (await lab.sh('node1', `ping -c1 -W1 ${lab.addressOf('node2')}`)).exitCode;
    expect(answers).toBe(1);
    await lab.thaw('node2');
    expect((await running).stdout).toBe('survived\n');
    expect(await lab.shOk('node2', 'cat /proc/sys/kernel/random/boot_id')).toBe(before);
  });
});

describe('the datastore', () => {
  const disk = '/var/lib/vdvs/datastores/default/disk.img';

  test('what a disk on it has acknowledged is there for another host after a power cut', async () => {
    await lab.shOk('node1', `truncate -s 64M ${disk}; mkfs.ext4 -q ${disk}; cat ${disk} >/dev/null`);
    await lab.shOk(
      'node2',
      `mkdir -p /run/disk; mount -o loop ${disk} /run/disk; date +%N >/run/disk/written; sync /run/disk/written`,
    );
    const written = await lab.shOk('node2', 'cat /run/disk/written');
    await lab.kill('node2');
    const read = `dd if=${disk} iflag=nocache count=0 status=none; mkdir -p /run/disk; mount -o loop ${disk} /run/disk; cat /run/disk/written`;
    expect(await lab.shOk('node1', read)).toBe(written);
    await lab.shOk('node1', `umount /run/disk; rm ${disk}`);
    await lab.start('node2');
  });
});

describe('coming and going', () => {
  test('an interrupted "up" leaves nothing behind', async () => {
    const other = newDir();
    const paths = labPaths({ ...env, VFILE_LAB_DIR: other });
    const up = spawn(
      process.execPath,
      ['--import', 'tsx', 'test/lab/tool/main.ts', 'up', '--bare', '--nodes', '1'],
      {
        cwd: repo,
        env: { ...process.env, ...env, VFILE_LAB_DIR: other },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let said = '';
    const ended = new Promise<number | null>((resolve) => up.once('close', resolve));
    up.stderr.on('data', (data: Buffer) => {
      said += data.toString();
    });
    await waitFor(
      () =>
        /Starting 1 hosts/.test(said) ? { done: true, value: undefined } : { done: false, reason: said },
      { what: 'the host to start', timeoutMs: 60_000 },
    );
    up.kill('SIGINT');
    expect(await ended).toBe(125);
    expect(said).toContain('interrupted by SIGINT');
    expect(await leftovers(paths)).toEqual([]);
    rmSync(other, { recursive: true, force: true });
  });

  test('"down" leaves no process, mount, loop device or namespace, and no disk', async () => {
    expect(await leftovers(lab.paths)).not.toEqual([]);
    await lab.down();
    expect(await leftovers(lab.paths)).toEqual([]);
    expect((await lab.status()).up).toBe(false);
    await lab.down();
  });
});
