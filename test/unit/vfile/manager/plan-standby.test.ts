import { describe, expect, it } from 'vitest';
import type { Observed } from '../../../../src/vfile/manager/observed.ts';
import type { MoveRequest } from '../../../../src/vfile/types.ts';
import {
  at,
  claim,
  dead,
  missing,
  mount,
  node,
  now,
  say,
  servedByN1,
  server,
  service,
  settings,
  spec,
  task,
} from './plan-builders.ts';

const deferred = { ...servedByN1, baseDeferred: true };
/** n1 has served epoch 3 for 10 s. */
const served: Partial<Observed> = {
  mounts: [mount('n2')],
  status: deferred,
  service: service(),
  claim: claim('n1', 3),
  server: server('n1', 3),
  memory: { served: { epoch: 3, since: now - 10_000 } },
};
const onN2 = task('t2', { nodeId: 'n2', createdAt: at(20) });
const pending = task('t2', { nodeId: undefined, state: 'pending', createdAt: at(20) });
const withStandby = { ...served, service: service([], 2), tasks: [task('t1'), onN2] };

describe('the standby of a volume that is served', () => {
  it.each<[string, Partial<Observed>, string]>([
    ['comes when it has been served for a while', {}, 'Mounted: scaleService 2: starting a standby'],
    [
      'does not come before',
      { memory: { served: { epoch: 3, since: now - 4_000 } } },
      'Mounted: done for 6000',
    ],
    ['does not come at once with a new leader', { memory: {} }, 'Mounted: done for 10000'],
    [
      'does not come when the number of tasks was changed a moment ago',
      { memory: { served: { epoch: 3, since: now - 60_000 }, scaledAt: now - 20_000 } },
      'Mounted: done for 10000',
    ],
    ['does not come when it is not wanted', { settings: { ...settings, standby: false } }, 'Mounted: done'],
    [
      'does not come where the disk cannot arrive later',
      { status: { ...servedByN1, baseDeferred: false } },
      'Mounted: done',
    ],
    [
      'does not come for a volume that was made before there were standbys',
      { status: servedByN1 },
      'Mounted: done',
    ],
    ['has no place when one node is fit', { nodes: [node('n1'), dead('n2')] }, 'Mounted: done'],
    [
      'gets a place where none is admitted: constraints as for a new server, the own node left in',
      {
        service: service(['node.id!=n2', 'node.id!=n3']),
        nodes: [node('n1', { leads: 5 }), node('n2'), node('n3')],
      },
      'Mounted: scaleService 2 []: starting a standby',
    ],
    [
      'is not looked for anew while Swarm moves the server away from a drained node',
      { nodes: [node('n1', { availability: 'drain' }), node('n2'), node('n3')] },
      'Mounted: done',
    ],
    ['is there', withStandby, 'Mounted: done'],
    [
      'was ordered a moment ago',
      {
        ...withStandby,
        tasks: [task('t1'), task('t2', { nodeId: 'n2', state: 'preparing' })],
        memory: { ...served.memory, scaledAt: now - 1_000 },
      },
      'Mounted: done for 2000',
    ],
    [
      'is waited for while Swarm has a node for it',
      { ...withStandby, tasks: [task('t1'), pending] },
      'Mounted: done for 2000',
    ],
    [
      'comes again after a failover: soon seen, although the number of tasks was changed long ago',
      {
        ...withStandby,
        tasks: [task('t1'), task('t2', { nodeId: 'n2', state: 'preparing' })],
        memory: { served: { epoch: 3, since: now - 29_000 }, scaledAt: now - 600_000 },
      },
      'Mounted: done for 2000',
    ],
    [
      'has not come for long: looked for less often',
      {
        ...withStandby,
        tasks: [task('t1'), task('t2', { nodeId: 'n2', state: 'preparing' })],
        memory: { served: { epoch: 3, since: now - 30_000 }, scaledAt: now - 600_000 },
      },
      'Mounted: done for 10000',
    ],
    [
      'is given up while no node is fit: Swarm would show a task that waits for ever',
      { ...withStandby, tasks: [task('t1'), pending], nodes: [node('n1'), dead('n2')] },
      'Mounted: scaleService 1: no node can run a standby',
    ],
    [
      'is not given up a moment after it was ordered',
      {
        ...withStandby,
        tasks: [task('t1'), pending],
        nodes: [node('n1'), dead('n2')],
        memory: { ...served.memory, scaledAt: now - 5_000 },
      },
      'Mounted: done for 25000',
    ],
    [
      'may run on another node than before when its own is lost',
      {
        ...withStandby,
        service: service(['node.id!=n3'], 2),
        tasks: [task('t1'), pending],
        nodes: [node('n1'), dead('n2'), node('n3')],
      },
      'Mounted: scaleService 2 [node.id!=n2]: letting the standby run elsewhere',
    ],
    [
      'that runs is never taken back: Swarm might stop the server',
      { ...withStandby, settings: { ...settings, standby: false }, nodes: [node('n1'), dead('n2')] },
      'Mounted: done for 2000',
    ],
    [
      'ends with the server when nobody uses the volume',
      { ...withStandby, mounts: [], memory: { unusedSince: now - 30_000 } },
      'Unmounting: stopService: not in use; stopping the file server',
    ],
  ])('%s', (_when, patch, expected) => {
    expect(say({ ...served, ...patch })).toBe(expected);
  });

  it('is never made together with the server', () => {
    expect(say({ mounts: [mount('n2')], status: deferred })).toBe(
      'Failing over: createService []: starting a file server',
    );
  });
});

describe('a volume whose server is lost while a standby waits', () => {
  const { server: _server, claim: _claim, ...unserved } = withStandby;
  const lost = { ...unserved, memory: missing(0) };
  const n1Dead = [dead('n1'), node('n2'), node('n3')];
  const stopped = 'the file server on host-n1 stopped';
  const takesOver = (ms: number, cause = 'host-n1 is lost') =>
    `Failing over: wait ${ms}: ${cause}; the standby on host-n2 takes over`;

  it.each<[string, Partial<Observed>, string]>([
    ['power cut', { nodes: n1Dead }, takesOver(20_000)],
    ['as a new leader sees it, remembering nothing', { nodes: n1Dead, memory: {} }, takesOver(20_000)],
    [
      'its claim has not run out yet',
      { nodes: n1Dead, claim: claim('n1', 3), memory: missing(1_000) },
      'Failing over: wait 9000: host-n1 is lost; its claim runs out',
    ],
    ['its container died: Swarm starts another, which is the next standby', {}, takesOver(20_000, stopped)],
    [
      'Swarm has noticed the loss and started the lost task elsewhere',
      {
        nodes: n1Dead,
        tasks: [
          task('t1', { desired: 'shutdown' }),
          onN2,
          task('t3', { nodeId: 'n3', state: 'preparing', createdAt: at(40) }),
        ],
        memory: missing(15_000),
      },
      takesOver(5_000),
    ],
    [
      'the standby has the claim: it is a server that starts',
      {
        nodes: n1Dead,
        claim: claim('n2', 4),
        memory: missing(2_000, { lastClaim: { claim: claim('n2', 4), since: now - 500 } }),
      },
      'Failing over: wait 59500: the file server on host-n2 starts',
    ],
    [
      'the standby does not take over: a third node does',
      { nodes: n1Dead, memory: missing(20_000) },
      'Failing over: replaceTask [node.id!=n1 node.id!=n2]: the standby on host-n2 does not take over',
    ],
    [
      'the standby does not take over, the first node is fit: neither of the two is the best choice',
      { memory: missing(20_000) },
      'Failing over: replaceTask [node.id!=n1 node.id!=n2]: the standby on host-n2 does not take over',
    ],
    [
      'the standby does not take over and there is no third node',
      { nodes: [dead('n1'), node('n2')], memory: missing(20_000) },
      'Failing over: replaceTask [node.id!=n1]: the standby on host-n2 does not take over',
    ],
    [
      'the standby is lost as well: another one waits already',
      {
        nodes: [dead('n1'), dead('n2'), node('n3')],
        tasks: [onN2, task('t3', { nodeId: 'n3', createdAt: at(40) })],
        memory: missing(16_000),
      },
      'Failing over: wait 4000: host-n1 is lost; the standby on host-n3 takes over',
    ],
    [
      'the standby is lost as well, nothing else runs: replaced at once',
      { nodes: [dead('n1'), dead('n2'), node('n3')], memory: missing(3_000) },
      'Failing over: replaceTask [node.id!=n1 node.id!=n2]: host-n2 is lost',
    ],
    [
      'the standby is lost while it starts to serve, the first node has one by now',
      {
        nodes: [node('n1'), dead('n2'), node('n3')],
        tasks: [task('t3', { nodeId: 'n1', createdAt: at(40) }), onN2],
        memory: missing(0, { lastClaim: { claim: claim('n2', 4), since: now - 6_000 } }),
      },
      'Failing over: wait 20000: host-n2 is lost; the standby on host-n1 takes over',
    ],
    [
      'the standby has no container yet: its start is waited for, however old the lost task is',
      {
        nodes: n1Dead,
        tasks: [
          task('t1', { createdAt: at(60) }),
          task('t2', { nodeId: 'n2', state: 'starting', createdAt: at(20) }),
        ],
      },
      'Failing over: wait 60000: the file server starts on host-n2 (task starting)',
    ],
    [
      'the standby has no node yet: replaced at once',
      { nodes: n1Dead, tasks: [task('t1'), pending] },
      'Failing over: replaceTask [node.id!=n1]: host-n1 is lost',
    ],
    [
      'the standby runs on a node that Swarm is about to empty',
      { nodes: [dead('n1'), node('n2', { availability: 'drain' }), node('n3')] },
      'Failing over: wait 60000: the file server starts on host-n2 (task running)',
    ],
    [
      'the only task is on another node: that is no standby but a server that starts',
      { service: service(), nodes: n1Dead, tasks: [onN2] },
      'Failing over: wait 60000: the file server starts on host-n2 (task running)',
    ],
  ])('%s', (_when, patch, expected) => {
    expect(say({ ...lost, ...patch })).toBe(expected);
  });

  it('a server that replaces leaves room for a standby, as far as there is', () => {
    const nodes = [dead('n1'), node('n2', { leads: 2 }), node('n3'), node('n4', { leads: 1 })];
    const alone = { ...lost, service: service(), tasks: [task('t1')], nodes };
    expect(say(alone)).toBe('Failing over: replaceTask [node.id!=n1 node.id!=n2]: host-n1 is lost');
    expect(say({ ...alone, status: servedByN1 })).toBe(
      'Failing over: replaceTask [node.id!=n1 node.id!=n2 node.id!=n4]: host-n1 is lost',
    );
  });
});

describe('a move of a volume with a standby', () => {
  const move = (patch: Partial<MoveRequest> = {}) => ({
    value: { v: 1, epoch: 3, at: spec().value.createdAt, ...patch } satisfies MoveRequest,
    modRevision: 9,
  });
  it.each<[string, Partial<Observed>, string]>([
    ['to any node: the server makes way', { move: move() }, 'Mounted: askToStop: moved as asked'],
    ["to the standby's node: the same", { move: move({ to: 'n2' }) }, 'Mounted: askToStop: moved as asked'],
    [
      'to a third node: a new service',
      { move: move({ to: 'n3' }) },
      'Mounted: replaceTask [node.id!=n1 node.id!=n2]: moved as asked',
    ],
    [
      'without a standby that runs: a new service',
      { move: move(), tasks: [task('t1'), pending] },
      'Mounted: replaceTask [node.id!=n1]: moved as asked',
    ],
    [
      'the server has been asked and stops',
      { move: move({ stop: true }), memory: { move: { revision: 9, since: now - 1_000 } } },
      'Mounted: wait 19000: moving: waiting for the file server on host-n1 to stop',
    ],
    [
      'the server does not heed it: a new service',
      { move: move({ stop: true }), memory: { move: { revision: 9, since: now - 20_000 } } },
      'Mounted: replaceTask [node.id!=n1]: moved as asked',
    ],
    [
      'the server has stopped',
      { move: move({ stop: true }), server: undefined, claim: undefined, memory: missing(500) },
      'Failing over: wait 19500: the file server on host-n1 stopped; the standby on host-n2 takes over',
    ],
  ])('%s', (_when, patch, expected) => {
    expect(say({ ...withStandby, ...patch })).toBe(expected);
  });
});
