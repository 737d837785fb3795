import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../src/lib/exec.ts';
import {
  createVolume,
  image,
  inspect,
  openLab,
  reachUnused,
  removeContainers,
  removeVolume,
  whole,
} from './fixture.ts';
import { Appender } from './story/appender.ts';
import { createBlock, inBlock, reachHolder, vdvs } from './story/block.ts';
import { withSmallDatastore } from './story/small-datastore.ts';
import { volumeMount } from './story/volume-mount.ts';
import { waitFor } from './tool/wait.ts';

const lab = openLab();
/** The datastore folders, which are this machine's. */
const datastore = (name: string) => join(lab.paths.datastores, name);

beforeEach(() => whole(lab));

/** `e2fsck -fn` or `xfs_repair -n` on the disk of a volume that nobody has attached; its descriptor names the file. */
async function checkDisk(volume: string): Promise<void> {
  const { fstype } = (await inspect(lab, 'node1', volume)).Status ?? {};
  const [program, options] = fstype === 'xfs' ? ['xfs_repair', '-n'] : ['e2fsck', '-fn'];
  const descriptor = await readFile(join(datastore('default'), `${volume}.vmdk`), 'utf8');
  const extent = / VMFS "([^"]+)"/.exec(descriptor)?.[1];
  if (extent === undefined) throw new Error(`the descriptor of ${volume} names no file: ${descriptor}`);
  const { exitCode, stdout } = await run(program, [options, join(datastore('default'), extent)], {
    ...{ timeoutMs: 60_000, okCodes: Array.from({ length: 64 }, (_, code) => code) },
  });
  expect(exitCode, stdout).toBe(0);
}

async function created(host: string, name: string, options: Record<string, string> = {}): Promise<void> {
  const { exitCode, stderr } = await createBlock(lab, host, name, options);
  expect(exitCode, stderr).toBe(0);
}

/** The numbers of the complete lines of a writer's file. */
async function linesOf(host: string, volume: string, file: string): Promise<number[]> {
  const { exitCode, stdout, stderr } = await inBlock(
    lab,
    host,
    volume,
    `perl -ne 'print "$1\\n" if /^(\\d{8}) (x*)$/ && length $2 == $1 % 4000' /volume/${file}`,
  );
  expect(exitCode, stderr).toBe(0);
  return stdout.split('\n').filter(Boolean).map(Number);
}

/** All of 1 to `acked`, in this order. One more may be there: written, but not acknowledged any more. */
function expectAcked(lines: readonly number[], acked: number): void {
  expect(lines.length).toBeGreaterThanOrEqual(acked);
  expect(lines.length).toBeLessThanOrEqual(acked + 1);
  expect(lines).toEqual(lines.map((_, at) => at + 1));
}

describe('one owner at a time', () => {
  const volume = 'one-owner';
  /** What a test has made besides. */
  const more: string[] = [];

  afterEach(async () => {
    for (const host of lab.hostNames) {
      const { power, network } = (await lab.status()).hosts.find(({ name }) => name === host) ?? {};
      if (power === 'frozen') await lab.thaw(host);
      if (power === 'down') await lab.start(host);
      if (network !== 'connected') await lab.mend(host);
    }
    await whole(lab);
    for (const name of [volume, ...more.splice(0)]) {
      for (const host of lab.hostNames) await removeContainers(lab, host, `first-${name}`, `next-${name}`);
      await reachHolder(lab, 'node1', name, undefined);
      await checkDisk(name);
      await removeVolume(lab, 'node1', name);
    }
  });

  it('a host cut off while it writes stops before the next one starts; every acknowledged fsync is there', async () => {
    await created('node1', volume);
    const first = new Appender(lab, 'node3', `first-${volume}`);
    await first.start(volume, 'vdvs');
    await first.progress(50);
    await lab.cut('node3');
    const next = new Appender(lab, 'node2', `next-${volume}`);
    // Docker waits in this mount until the lease of the lost host is out.
    await next.start(volume, 'vdvs');
    const ended = await first.diary();
    expect(ended.ended).toMatch(/Input\/output error|Read-only file system/);
    await next.progress(50);
    expect((await first.diary()).acked).toBe(ended.acked);
    await lab.mend('node3');
    await next.progress(20);
    await next.remove();
    expectAcked(await linesOf('node2', volume, first.name), ended.acked);
    expectAcked(await linesOf('node1', volume, next.name), (await next.diary()).acked);
  });

  it('ext4 and XFS: a frozen host does no harm when it goes on after another has taken over', async () => {
    const onXfs = `${volume}-xfs`;
    more.push(onXfs);
    await created('node1', volume, { fstype: 'ext4' });
    await created('node1', onXfs, { fstype: 'xfs' });
    const each = [volume, onXfs].map((name) => ({
      name,
      first: new Appender(lab, 'node3', `first-${name}`),
      next: new Appender(lab, 'node2', `next-${name}`),
    }));
    await Promise.all(each.map(({ name, first }) => first.start(name, 'vdvs')));
    await Promise.all(each.map(({ first }) => first.progress(50)));
    await lab.freeze('node3');
    const acked = await Promise.all(each.map(async ({ first }) => (await first.diary()).acked));
    await Promise.all(each.map(({ name, next }) => next.start(name, 'vdvs')));
    await Promise.all(each.map(({ next }) => next.progress(20)));
    await lab.thaw('node3');
    // What they write until their guard stops them is not in the volume any more.
    await Promise.all(each.map(({ first }) => first.failed()));
    await Promise.all(each.map(({ next }) => next.progress(50)));
    for (const [at, { name, first, next }] of each.entries()) {
      await next.remove();
      expectAcked(await linesOf('node1', name, first.name), acked[at] ?? Number.NaN);
      expectAcked(await linesOf('node1', name, next.name), (await next.diary()).acked);
    }
  });

  it('a service follows from a host whose power is cut, and finds its data', async () => {
    await created('node1', volume);
    const service = 'follows';
    const lost = 'node3';
    await lab.dockerOk('node1', [
      ...[
        'service',
        'create',
        '--detach',
        '--name',
        service,
        '--no-resolve-image',
        '--mount',
        volumeMount(volume, 'vdvs'),
      ],
      // It starts on the host that is lost: the others have nothing labelled so.
      ...['--constraint', `node.hostname==${lost}`, image],
      ...['sh', '-c', 'echo $HOSTNAME >> /volume/hosts; sync; touch /tmp/written; exec sleep infinity'],
    ]);
    try {
      await reachHolder(lab, 'node1', volume, lost);
      await waitFor(
        async () => {
          const container = `$(docker ps -q --filter label=com.docker.swarm.service.name=${service})`;
          const { exitCode, stderr } = await lab.sh(lost, `docker exec ${container} test -e /tmp/written`);
          return exitCode === 0 ? { done: true, value: undefined } : { done: false, reason: stderr };
        },
        { what: 'the service to have written', timeoutMs: 60_000 },
      );
      await lab.kill(lost);
      await lab.dockerOk('node1', [
        'service',
        'update',
        '--detach',
        '--constraint-rm',
        `node.hostname==${lost}`,
        service,
      ]);
      await waitFor(
        async () => {
          const { stdout } = await lab.docker('node1', [
            ...[
              'service',
              'ps',
              '--format',
              '{{.Node}} {{.CurrentState}}',
              '--filter',
              'desired-state=running',
              service,
            ],
          ]);
          return /^node[12] Running/m.test(stdout)
            ? { done: true, value: undefined }
            : { done: false, reason: stdout };
        },
        { what: 'the service to run elsewhere', timeoutMs: 120_000, everyMs: 500 },
      );
    } finally {
      await lab.dockerOk('node1', ['service', 'rm', service]);
    }
    await reachHolder(lab, 'node1', volume, undefined);
    const { stdout } = await inBlock(lab, 'node2', volume, 'wc -l < /volume/hosts');
    expect(Number(stdout)).toBe(2);
  });

  it('the engine is killed with five containers on the volume: counts are right after, the last one detaches', async () => {
    await created('node1', volume);
    const names = [1, 2, 3, 4, 5].map((number) => `user-${number}`);
    const start = (name: string, ...more: string[]) =>
      lab.dockerOk('node2', [
        ...['run', '--detach', '--init', '--network', 'none', '--restart', 'always', '--name', name],
        ...['--mount', volumeMount(volume, 'vdvs'), ...more, image, 'sleep', 'infinity'],
      ]);
    const shared = 'shared-over-kill';
    await createVolume(lab, 'node1', shared);
    // Containers that come up again are mounted with the IDs that they had before the kill.
    await start('user-5', '--mount', volumeMount(shared, 'vfile', '/shared'));
    await Promise.all(names.slice(0, 4).map((name) => start(name)));
    await lab.shOk('node2', 'pkill -KILL -x dockerd');
    await whole(lab);
    const running = async () =>
      (await lab.dockerOk('node2', ['ps', '-q', '--filter', 'name=user-'])).split('\n').filter(Boolean);
    await waitFor(
      async () => {
        const { length } = await running();
        return length === 5 ? { done: true, value: undefined } : { done: false, reason: `${length} run` };
      },
      { what: 'the containers to run again', timeoutMs: 120_000, everyMs: 500 },
    );
    await reachHolder(lab, 'node1', volume, 'node2');
    await lab.dockerOk('node2', ['exec', 'user-5', 'sh', '-c', 'echo five > /volume/file && sync']);
    await removeContainers(lab, 'node2', ...names.slice(0, 4));
    expect(await lab.dockerOk('node2', ['exec', 'user-5', 'cat', '/volume/file'])).toBe('five');
    await reachHolder(lab, 'node1', volume, 'node2');
    expect((await lab.docker('node1', ['volume', 'rm', volume])).stderr).toMatch(/attached|in use/);
    await removeContainers(lab, 'node2', 'user-5');
    await reachHolder(lab, 'node1', volume, undefined);
    await reachUnused(lab, 'node1', shared);
    await removeVolume(lab, 'node1', shared);
  });
});

describe('when there is no room', () => {
  it('a full volume says so to its users, and goes on when room is made', async () => {
    await created('node1', 'full');
    const { stdout } = await inBlock(
      lab,
      'node1',
      'full',
      'echo kept > /volume/kept; dd if=/dev/zero of=/volume/big bs=1M 2>&1; rm /volume/big; echo more >> /volume/kept; cat /volume/kept',
    );
    expect(stdout).toMatch(/No space left on device/);
    expect(stdout).toMatch(/kept\nmore\n$/);
    await removeVolume(lab, 'node1', 'full');
    expect((await lab.docker('node1', ['volume', 'inspect', 'full'])).exitCode).not.toBe(0);
  });

  it('a full datastore takes no disk that does not fit, and loses nothing that was acknowledged', async () => {
    await withSmallDatastore(lab, 'second', 400 << 20, async (folder) => {
      for (const diskformat of ['zeroedthick', 'eagerzeroedthick']) {
        const { exitCode, stderr } = await createBlock(lab, 'node1', 'thick@second', {
          ...{ diskformat, size: '500mb' },
        });
        expect(exitCode).not.toBe(0);
        expect(stderr).toMatch(/thick@second: .*more than the .*mb that are free/);
        expect(await readdir(folder)).toEqual([]);
      }
      const ballast = join(folder, 'ballast');
      await run('fallocate', ['-l', '300M', ballast], { timeoutMs: 20_000 });
      await created('node2', 'thin@second', { size: '300mb' });
      const said = await inBlock(
        lab,
        'node2',
        'thin@second',
        'echo acknowledged > /volume/kept && sync && dd if=/dev/zero of=/volume/big bs=1M conv=fsync 2>&1',
      );
      expect(said.stdout).toMatch(/No space left|Input\/output error|Read-only/);
      await rm(ballast);
      const after = await inBlock(lab, 'node3', 'thin@second', 'rm -f /volume/big; cat /volume/kept');
      expect(after.stdout, after.stderr).toBe('acknowledged\n');
      await removeVolume(lab, 'node1', 'thin@second');
      expect(await readdir(folder)).toEqual([]);
    });
  });

  it('a datastore folder that is gone is an error that says so, and all is well when it is back', async () => {
    await created('node1', 'away@second');
    await inBlock(lab, 'node1', 'away@second', 'echo here > /volume/file');
    const folder = datastore('second');
    await rename(folder, `${folder}.gone`);
    try {
      const create = await createBlock(lab, 'node1', 'other@second');
      expect(create.exitCode).not.toBe(0);
      expect(create.stderr).toMatch(/second/);
      const mount = await inBlock(lab, 'node2', 'away@second', 'true');
      expect(mount.exitCode).not.toBe(0);
      expect(mount.stderr).toMatch(/second/);
      // What it does not need goes on.
      await created('node2', 'unmoved');
      await removeVolume(lab, 'node2', 'unmoved');
    } finally {
      await rename(`${folder}.gone`, folder);
    }
    expect(await inBlock(lab, 'node3', 'away@second', 'cat /volume/file')).toMatchObject({
      stdout: 'here\n',
    });
    await removeVolume(lab, 'node1', 'away@second');
  });
});

describe('a quota', () => {
  afterEach(() => vdvs(lab, 'vmgroup rm --name=racers --remove-volumes --yes'));

  it('for ten takes exactly ten of fifty creates at once from two hosts', async () => {
    await vdvs(lab, 'vmgroup create --name=racers --default-datastore=default --vm-list=node2,node3');
    await vdvs(
      lab,
      'vmgroup access set --name=racers --datastore=default --allow-create=true --volume-totalsize=1gb',
    );
    const said = await Promise.all(
      Array.from({ length: 50 }, (_, number) =>
        createBlock(lab, `node${2 + (number % 2)}`, `race-${number}`, { size: '102mb' }),
      ),
    );
    expect(said.filter(({ exitCode }) => exitCode === 0)).toHaveLength(10);
    for (const { stderr } of said.filter(({ exitCode }) => exitCode !== 0)) {
      expect(stderr).toContain('The total volume size exceeds the usage quota');
    }
  });
});
