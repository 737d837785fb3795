import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createVolume,
  holdVolume,
  inspect,
  inVolume,
  openLab,
  reachState,
  removeContainers,
  removeVolume,
  whole,
} from './fixture.ts';
import { Clients } from './story/clients.ts';

const lab = openLab();
const hosts = ['node1', 'node2', 'node3'] as const;

beforeAll(() => whole(lab));

describe('a volume that several hosts share', () => {
  const volume = 'shared';
  const clients = new Clients({ lab, volume, hosts: hosts, pauseMs: 300 });

  beforeAll(() => createVolume(lab, 'node1', volume, { size: '200mb', linger: '5s' }));
  afterAll(async () => {
    await clients.remove(hosts);
    await removeVolume(lab, 'node2', volume);
  });

  it('is known on every host as soon as it is created, with global scope', async () => {
    for (const host of lab.hostNames) {
      const seen = await inspect(lab, host, volume);
      expect(seen).toMatchObject({ Driver: 'vfile:latest', Scope: 'global' });
      // What this host knows of the state is some milliseconds behind.
      await reachState(lab, host, volume, 'Ready', 5_000);
      expect(Date.parse(seen.CreatedAt)).toBeGreaterThan(Date.now() - 600_000);
    }
  });

  it('is empty at first', async () => {
    expect(await inVolume(lab, 'node1', volume, 'ls -A /volume')).toBe('');
  });

  it('is written by three hosts at once, each reading what the others wrote, none getting in another one’s lock', async () => {
    await clients.start();
    await clients.progress(hosts, 10, 120_000);
    const status = await reachState(lab, 'node2', volume, 'Mounted');
    expect(status['Global Refcount']).toBe(3);
    expect(status.Clients).toHaveLength(3);
    await clients.stop(hosts);
    for (const host of hosts) {
      const { seen } = await clients.diary(host);
      expect(new Set(seen.map(({ of }) => of))).toEqual(new Set(hosts.filter((other) => other !== host)));
    }
    expect(await clients.check('node3')).toEqual([]);
  });

  it('is Ready again, and nobody’s, when the last container is gone', async () => {
    await Promise.all(hosts.map((host) => removeContainers(lab, host, `client-${host}`)));
    const status = await reachState(lab, 'node1', volume, 'Ready');
    expect(status).toMatchObject({ 'Global Refcount': 0, Clients: null });
  });
});

describe('volumes and their users', () => {
  it('count as one node when two containers of one host use a volume', async () => {
    await createVolume(lab, 'node1', 'two-users', { linger: '5s' });
    await holdVolume(lab, 'node2', 'two-users', 'first');
    await holdVolume(lab, 'node2', 'two-users', 'second');
    expect((await reachState(lab, 'node1', 'two-users', 'Mounted'))['Global Refcount']).toBe(1);
    await removeContainers(lab, 'node2', 'first');
    expect((await inspect(lab, 'node1', 'two-users')).Status).toMatchObject({ 'Global Refcount': 1 });
    expect(
      await lab.dockerOk('node2', [
        'exec',
        'second',
        'sh',
        '-c',
        'echo still here > /volume/f; cat /volume/f',
      ]),
    ).toBe('still here');
    await removeContainers(lab, 'node2', 'second');
    await reachState(lab, 'node1', 'two-users', 'Ready');
    await removeVolume(lab, 'node1', 'two-users');
  });

  it('keep a volume from being removed on any host, and are named', async () => {
    await createVolume(lab, 'node1', 'in-use');
    await holdVolume(lab, 'node2', 'in-use', 'user');
    const refused = await lab.docker('node3', ['volume', 'rm', 'in-use']);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain('node2');
    expect(
      await lab.dockerOk('node2', ['exec', 'user', 'sh', '-c', 'echo ok > /volume/f; cat /volume/f']),
    ).toBe('ok');
    // Idle for about as long as the kernel's client is between two renewals of its lease.
    await lab.dockerOk('node2', [
      ...['exec', 'user', 'sh', '-c'],
      'for idle in 4.8 5.2 5.6 6.5; do sleep $idle; echo $idle >> /volume/f || exit 1; done',
    ]);
    await removeContainers(lab, 'node2', 'user');
    await removeVolume(lab, 'node3', 'in-use');
  });

  it('may all come at once: first mounts of one volume on every host', async () => {
    await createVolume(lab, 'node1', 'at-once');
    const said = await Promise.all(
      lab.hostNames.map((host) =>
        inVolume(lab, host, 'at-once', `echo ${host} > /volume/${host}; cat /volume/${host}`),
      ),
    );
    expect(said).toEqual(lab.hostNames);
    expect((await inVolume(lab, 'node1', 'at-once', 'ls /volume')).split('\n')).toEqual(lab.hostNames);
    await removeVolume(lab, 'node1', 'at-once');
  });

  it('may create twenty volumes at once', async () => {
    const names = Array.from({ length: 20 }, (_, at) => `many-${at + 1}`);
    await Promise.all(names.map((name, at) => createVolume(lab, lab.hostNames[at % 3] ?? 'node1', name)));
    const ports = await Promise.all(
      names.map(async (name) => (await inspect(lab, 'node1', name)).Status?.['File server Port']),
    );
    expect(new Set(ports).size).toBe(20);
    await Promise.all(
      names.map((name, at) => removeVolume(lab, lab.hostNames[(at + 1) % 3] ?? 'node1', name)),
    );
    expect(await lab.dockerOk('node3', ['volume', 'ls', '-q', '--filter', 'name=many-'])).toBe('');
  });

  it('can mount what they can create: a name of 100 characters', async () => {
    const name = `n${'0123456789'.repeat(9)}.long_-end`.slice(0, 100).padEnd(100, 'x');
    expect(name).toHaveLength(100);
    await createVolume(lab, 'node1', name);
    expect(await inVolume(lab, 'node2', name, 'echo long > /volume/f; cat /volume/f')).toBe('long');
    await removeVolume(lab, 'node1', name);
  });

  it('get a root directory of the owner and mode they asked for', async () => {
    await createVolume(lab, 'node1', 'owned', { uid: '1000', gid: '1001', mode: '0750' });
    expect(await inVolume(lab, 'node3', 'owned', 'stat -c "%u %g %a" /volume')).toBe('1000 1001 750');
    await removeVolume(lab, 'node1', 'owned');
  });
});
