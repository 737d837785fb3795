import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createVolume,
  holdVolume,
  image,
  inspect,
  openLab,
  removeContainers,
  removeVolume,
  serverHost,
  whole,
} from './fixture.ts';
import { vdvs as administer, createBlock, inBlock } from './story/block.ts';
import { Clients } from './story/clients.ts';
import { volumeMount } from './story/volume-mount.ts';
import { waitFor } from './tool/wait.ts';

const lab = openLab();

beforeAll(() => whole(lab));

const create = (host: string, name: string, options: Record<string, string> = {}) =>
  createBlock(lab, host, name, options);
const within = (host: string, volume: string, command: string) => inBlock(lab, host, volume, command);
const vdvs = (args: string) => administer(lab, args);

async function created(host: string, name: string, options: Record<string, string> = {}): Promise<void> {
  expect(await create(host, name, options)).toMatchObject({ exitCode: 0 });
}

async function read(host: string, volume: string, file: string): Promise<string> {
  const { exitCode, stdout, stderr } = await within(host, volume, `cat /volume/${file}`);
  if (exitCode !== 0) throw new Error(stderr);
  return stdout.trim();
}

async function listed(host: string): Promise<string[]> {
  const names = await lab.dockerOk(host, ['volume', 'ls', '-q', '--filter', 'driver=vdvs:latest']);
  return names.split('\n').filter((name) => name !== '' && !name.startsWith('_vF_'));
}

describe('block volumes with the real engine', () => {
  it.each([
    ['an unknown option', { colour: 'red' }, /colour/],
    ['a size without a unit', { size: '2' }, /size/],
    ['a size without a number', { size: 'mb' }, /size/],
    ['a size with a longer unit', { size: '100mbb' }, /size.*100mbb/s],
    ['a size beyond all disks', { size: '14000pb' }, /size.*14000pb/s],
    ['two disk formats', { diskformat: 'zeroedthick,thin' }, /diskformat.*zeroedthick,thin/s],
    ['a way to attach that there is not', { 'attach-as': 'shared' }, /attach-as.*shared/s],
    ['a policy where the datastore has none', { policy: 'gold' }, /policy.*gold/s],
    ['a file system beside a source', { 'clone-from': 'other', fstype: 'xfs' }, /fstype|clone-from/],
    ['a disk format that there is not', { diskformat: 'thiN' }, /diskformat.*thiN/s],
    ['a file system that there is not', { fstype: 'fat12' }, /fstype.*fat12/s],
    ['an access that there is not', { access: 'write-only' }, /access.*write-only/s],
    ['a size beside a source', { 'clone-from': 'other', size: '1gb' }, /size.*clone-from|clone-from.*size/s],
    ['a source that is missing', { 'clone-from': 'missing' }, /missing/],
  ])('%s is refused, and nothing is made', async (_what, options: Record<string, string>, message) => {
    const { exitCode, stderr } = await create('node1', 'refused', options);
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(message);
    expect(await listed('node2')).not.toContain('refused');
  });

  it.each([
    [{ size: '150MB' }, { capacity: { size: '150mb' } }],
    [{ fstype: 'xfs' }, { fstype: 'xfs', capacity: { size: '300mb' } }],
    [{ diskformat: 'zeroedthick' }, { diskformat: 'zeroedthick' }],
    [{ diskformat: 'eagerzeroedthick' }, { diskformat: 'eagerzeroedthick' }],
    [{ 'attach-as': 'persistent' }, { 'attach-as': 'persistent' }],
    [{ access: 'read-only' }, { access: 'read-only' }],
    [
      {},
      {
        ...{
          access: 'read-write',
          'attach-as': 'independent_persistent',
          diskformat: 'thin',
          fstype: 'ext4',
        },
        ...{ capacity: { size: '100mb' }, datastore: 'default', status: 'detached' },
      },
    ],
  ])('%j is taken and shown', async (options: Record<string, string>, shown) => {
    await created('node2', 'shown', options);
    expect((await inspect(lab, 'node1', 'shown')).Status).toMatchObject(shown);
    await removeVolume(lab, 'node3', 'shown');
  });

  it('ten are created at once; a name stands for one volume on each datastore', async () => {
    // Names of their own: an engine remembers the driver of a volume that was removed on another host.
    const names = Array.from({ length: 10 }, (_, number) => `ten-${number}`);
    const made = await Promise.all(names.map((name, number) => create(`node${1 + (number % 3)}`, name)));
    expect(made.map(({ exitCode }) => exitCode)).toEqual(names.map(() => 0));
    await created('node1', 'ten-0@second');
    for (const [volume, text] of [
      ['ten-0', 'on the default datastore'],
      ['ten-0@second', 'on the second'],
    ] as const) {
      expect(await within('node2', volume, `echo ${text} > /volume/where`)).toMatchObject({ exitCode: 0 });
    }
    // The long name of the first is the same volume.
    expect(await read('node3', 'ten-0@default', 'where')).toContain('on the default datastore');
    expect(await read('node3', 'ten-0@second', 'where')).toContain('on the second');
    for (const name of [...names, 'ten-0@second']) await removeVolume(lab, 'node2', name);
    expect((await listed('node3')).filter((name) => name.startsWith('ten-'))).toEqual([]);
  });

  it('a new one appears empty, so that Docker fills it from the image; a read-only one takes no writes', async () => {
    await created('node1', 'filled');
    const count = await lab.dockerOk('node1', [
      ...['run', '--rm', '--network', 'none', '--volume', 'filled:/etc', image],
      ...['sh', '-c', 'ls /etc/passwd && ls -d /etc/lost+found || true'],
    ]);
    expect(count).toBe('/etc/passwd');
    await removeVolume(lab, 'node1', 'filled');
    await created('node1', 'fixed', { access: 'read-only' });
    const { exitCode, stderr } = await within('node1', 'fixed', 'echo x > /volume/x');
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain('Read-only file system');
    await removeVolume(lab, 'node1', 'fixed');
  });

  it.each(['ext4', 'xfs'])('one with %s grows under its container', async (fstype) => {
    const volume = `grows-${fstype}`;
    await created('node1', volume, { size: '400mb', fstype });
    const holder = 'holder';
    await lab.dockerOk('node1', [
      ...['run', '--detach', '--init', '--network', 'none', '--name', holder],
      ...['--mount', volumeMount(volume, 'vdvs'), image, 'sleep', 'infinity'],
    ]);
    try {
      await lab.dockerOk('node1', ['exec', holder, 'sh', '-c', 'echo kept > /volume/file']);
      await vdvs(`volume resize --volume=${volume}@default --size=900mb`);
      await waitFor(
        async () => {
          const free = await lab.dockerOk('node1', ['exec', holder, 'df', '-m', '--output=size', '/volume']);
          const size = Number(free.split('\n')[1]);
          return size > 700 ? { done: true, value: size } : { done: false, reason: `${size} MB` };
        },
        { what: 'the larger file system in the container', timeoutMs: 60_000, everyMs: 500 },
      );
      expect(await lab.dockerOk('node1', ['exec', holder, 'cat', '/volume/file'])).toBe('kept');
    } finally {
      await removeContainers(lab, 'node1', holder);
    }
    await removeVolume(lab, 'node1', volume);
  });

  it('a snapshot keeps what was, and a clone goes its own way', async () => {
    await created('node1', 'source');
    await within('node1', 'source', 'echo before > /volume/state');
    await vdvs('snapshot create --volume=source@default');
    await within('node2', 'source', 'echo after > /volume/state');
    await created('node3', 'restored', { 'clone-from': 'source-000001' });
    await created('node3', 'copy', { 'clone-from': 'source' });
    await within('node3', 'copy', 'echo own > /volume/own');
    expect(await read('node1', 'restored', 'state')).toBe('before');
    expect(await read('node1', 'copy', 'state')).toBe('after');
    expect((await within('node1', 'source', 'ls /volume')).stdout.trim()).toBe('state');
    const refused = await lab.docker('node1', ['volume', 'rm', 'source']);
    expect(refused.stderr).toMatch(/snapshot/);
    await vdvs('snapshot rm --snapshot=source-000001@default --yes');
    for (const name of ['source', 'copy', 'restored']) await removeVolume(lab, 'node2', name);
  });
});

describe('tenants', () => {
  afterAll(async () => {
    await vdvs('vmgroup rm --name=team --remove-volumes --yes').catch(() => undefined);
  });

  it('have name spaces and quotas of their own', async () => {
    await vdvs('vmgroup create --name=team --default-datastore=default --vm-list=node2');
    await vdvs(
      'vmgroup access set --name=team --datastore=default --allow-create=true --volume-maxsize=200mb --volume-totalsize=300mb',
    );
    await created('node1', 'data');
    await within('node1', 'data', 'echo everybody > /volume/whose');
    // The node asks which group it is in every 10 s.
    await waitFor(
      async () => {
        const names = await listed('node2');
        return names.includes('data')
          ? { done: false, reason: names.join(' ') }
          : { done: true, value: names };
      },
      { what: 'node2 to see the volumes of its group only', timeoutMs: 60_000, everyMs: 1_000 },
    );
    await created('node2', 'data');
    await within('node2', 'data', 'echo the team > /volume/whose');
    expect(await read('node1', 'data', 'whose')).toBe('everybody');
    expect(await read('node2', 'data', 'whose')).toBe('the team');
    const large = await create('node2', 'large', { size: '250mb' });
    expect(large.stderr).toContain('Volume size exceeds the max volume size limit');
    const five = await Promise.all([1, 2, 3, 4, 5].map((number) => create('node2', `part-${number}`)));
    expect(five.filter(({ exitCode }) => exitCode === 0)).toHaveLength(2);
    for (const { stderr } of five.filter(({ exitCode }) => exitCode !== 0)) {
      expect(stderr).toContain('The total volume size exceeds the usage quota');
    }
    await removeVolume(lab, 'node1', 'data');
    await vdvs('vmgroup rm --name=team --remove-volumes --yes');
    expect((await listed('node1')).filter((name) => /data|part/.test(name))).toEqual([]);
  });
});

describe('a planned move of a file server', () => {
  const volume = 'moves';
  const hosts = ['node1', 'node2', 'node3'] as const;
  const clients = new Clients({ lab, volume, hosts, pauseMs: 300 });

  afterAll(async () => {
    await clients.remove(hosts);
    await removeContainers(lab, 'node1', 'keeper');
    await removeVolume(lab, 'node1', volume);
  });

  it('goes to the node that is named, and no client notices more than a wait', async () => {
    await createVolume(lab, 'node1', volume, { size: '200mb' });
    await holdVolume(lab, 'node1', volume, 'keeper');
    await clients.start();
    await clients.progress(hosts, 5, 120_000);
    const from = await serverHost(lab, 'node1', volume);
    const to = hosts.find((host) => host !== from) ?? 'node1';
    await lab.shOk(
      'node1',
      `docker exec $(docker ps -qf name=vfile_manager) vfile volume move ${volume} --to ${to} --timeout 120`,
    );
    expect(await serverHost(lab, 'node1', volume)).toBe(to);
    await clients.progress(hosts, 5, 120_000);
    await clients.stop(hosts);
    expect(await clients.check('node2')).toEqual([]);
    expect((await inspect(lab, 'node3', volume)).Status).toMatchObject({ 'Volume Status': 'Mounted' });
  });
});
