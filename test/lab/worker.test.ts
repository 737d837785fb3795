import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createVolume, inVolume, openLab, removeVolume, whole } from './fixture.ts';
import { orderNode } from './story/order-node.ts';
import { etcdVotes } from './tool/etcd-votes.ts';
import { waitFor } from './tool/wait.ts';

const lab = openLab();
const worker = 'node3';

const others = lab.hostNames.filter((name) => name !== worker);

describe('a manager becomes a worker', () => {
  beforeAll(async () => {
    await whole(lab);
    await orderNode(lab, worker, ['demote']);
    await waitFor(
      async () => {
        const { hosts } = await lab.status();
        const role = hosts.find(({ name }) => name === worker)?.swarm;
        if (role !== 'worker') return { done: false, reason: `role ${role}` };
        return await etcdVotes(lab, others);
      },
      { what: `${worker} to be a worker`, timeoutMs: 90_000, everyMs: 500 },
    );
    await whole(lab);
  });

  afterAll(async () => {
    await orderNode(lab, worker, ['promote']);
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
    await orderNode(lab, worker, ['promote']);
    await whole(lab);
    await waitFor(() => etcdVotes(lab, lab.hostNames), {
      ...{ what: 'three voting members of etcd', timeoutMs: 90_000, everyMs: 500 },
    });
    await createVolume(lab, worker, 'promoted');
    await removeVolume(lab, worker, 'promoted');
  });
});
