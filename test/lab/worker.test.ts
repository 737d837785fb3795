import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createVolume, inVolume, openLab, removeVolume, whole } from './fixture.ts';
import { waitFor } from './tool/wait.ts';

const lab = openLab();
const worker = 'node3';

/** Names of etcd's voting members, as node IDs. */
async function members(): Promise<number> {
  const container = await lab.dockerOk('node1', [
    'ps',
    '-q',
    '--filter',
    'label=com.docker.swarm.service.name=vfile_etcd',
  ]);
  const said = await lab.dockerOk('node1', ['logs', '--tail', '1', container]);
  expect(said).toBeDefined();
  const tasks = await lab.dockerOk('node1', [
    'service',
    'ls',
    '--filter',
    'name=vfile_etcd',
    '--format',
    '{{.Replicas}}',
  ]);
  return Number(tasks.split('/')[0]);
}

describe('a manager becomes a worker', () => {
  beforeAll(async () => {
    await whole(lab);
    await lab.dockerOk('node1', ['node', 'demote', worker]);
    await waitFor(
      async () => {
        const { hosts } = await lab.status();
        const role = hosts.find(({ name }) => name === worker)?.swarm;
        const running = await members();
        if (role === 'worker' && running === 2) return { done: true, value: undefined };
        return { done: false, reason: `role ${role}, ${running} etcd tasks` };
      },
      { what: `${worker} to be a worker`, timeoutMs: 90_000, everyMs: 500 },
    );
    await whole(lab);
  });

  afterAll(async () => {
    await lab.dockerOk('node1', ['node', 'promote', worker]);
    await whole(lab);
  });

  it('a volume is created on the worker and used on a manager, and the other way round', async () => {
    await createVolume(lab, worker, 'by-worker');
    await inVolume(lab, 'node1', 'by-worker', 'echo hello > /volume/file');
    expect(await inVolume(lab, worker, 'by-worker', 'cat /volume/file')).toBe('hello');
    await removeVolume(lab, worker, 'by-worker');
    expect(await lab.dockerOk('node1', ['volume', 'ls', '-q', '--filter', 'name=by-worker'])).toBe('');
  });

  it('is a manager again afterwards, with a member of etcd', async () => {
    await lab.dockerOk('node1', ['node', 'promote', worker]);
    await whole(lab);
    await waitFor(
      async () => {
        const running = await members();
        return running === 3
          ? { done: true, value: undefined }
          : { done: false, reason: `${running} etcd tasks` };
      },
      { what: 'three members of etcd', timeoutMs: 90_000, everyMs: 500 },
    );
    await createVolume(lab, worker, 'promoted');
    await removeVolume(lab, worker, 'promoted');
  });
});
