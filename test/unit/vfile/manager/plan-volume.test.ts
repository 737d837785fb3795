import { describe, expect, it } from 'vitest';
import type { NodeFacts, Observed } from '../../../../src/vfile/manager/observed.ts';
import {
  at,
  claim,
  dead,
  missing,
  mount,
  node,
  now,
  plan,
  say,
  servedByN1,
  server,
  service,
  spec,
  started,
  status,
  task,
  used,
} from './plan-builders.ts';

describe('a volume nobody uses', () => {
  it.each<[string, Partial<Observed>, string]>([
    ['just created', { status: undefined }, 'Creating: checkBase: creating _vF_shared with driver vdvs'],
    [
      'whose base name is known to be free',
      { status: status({ baseReady: false }) },
      'Creating: createBase: creating _vF_shared with driver vdvs',
    ],
    ['with its base', {}, 'Ready: done'],
    [
      'whose last user left just now',
      { service: service() },
      'Unmounting: wait 30000: not in use; the file server stays for a while in case it is needed again',
    ],
    [
      'whose linger time is nearly over',
      { service: service(), memory: { unusedSince: now - 29_000 } },
      'Unmounting: wait 1000: not in use; the file server stays for a while in case it is needed again',
    ],
    [
      'whose linger time is over',
      { service: service(), memory: { unusedSince: now - 30_000 } },
      'Unmounting: stopService: not in use; stopping the file server',
    ],
    [
      'with a linger time of its own',
      { spec: spec({ options: { linger: '0s' } }), service: service() },
      'Unmounting: stopService: not in use; stopping the file server',
    ],
    [
      'whose server has not let go yet',
      { claim: claim('n1', 3), memory: { unusedSince: now - 31_000 } },
      'Unmounting: wait 24000: waiting for the file server on host-n1 to let go of the volume',
    ],
  ])('%s', (_when, patch, expected) => {
    expect(say(patch)).toBe(expected);
  });
});

describe('a volume that is being removed', () => {
  const deleting = { spec: spec({ deleting: started }) };
  it.each<[string, Partial<Observed>, string]>([
    ['with a server', { service: service() }, 'Deleting: stopService: stopping the file server'],
    [
      'whose server has not let go yet',
      { claim: claim('n1', 3) },
      'Deleting: wait 55000: waiting for the file server on host-n1 to let go of the volume',
    ],
    ['whose server is gone', {}, 'Deleting: removeBase: removing _vF_shared'],
    [
      'whose base is gone',
      { status: status({ baseAsked: false, baseReady: false }) },
      'Deleting: forget: removing the records',
    ],
    ['of which nothing was ever made', { status: undefined }, 'Deleting: forget: removing the records'],
    [
      'although a mount was first (its remover died between mark and look)',
      { mounts: [mount('n2')], status: status({ state: 'Mounted' }) },
      'Mounted: clearDeleting: removal refused: in use by host-n2 (mount a)',
    ],
  ])('%s', (_when, patch, expected) => {
    expect(say({ ...deleting, ...patch })).toBe(expected);
  });
});

describe('a volume that somebody uses', () => {
  it.each<[string, Partial<Observed>, string]>([
    [
      'waits for its base first',
      { ...used, status: undefined },
      'Creating: checkBase: creating _vF_shared with driver vdvs',
    ],
    [
      'without a service',
      { ...used, service: undefined },
      'Mounting: createService []: starting a file server',
    ],
    [
      'whose service was removed by hand',
      { ...used, service: undefined, status: servedByN1 },
      'Failing over: createService []: starting a file server',
    ],
    [
      'of which Swarm has made no task yet',
      { ...used, memory: { unservedSince: now - 100 } },
      'Mounting: wait 5000: waiting for Swarm to make a task for the file server',
    ],
    [
      'for which Swarm has found no node yet',
      { ...used, tasks: [task('t1', { nodeId: undefined, state: 'pending', message: 'no suitable node' })] },
      'Mounting: wait 60000: waiting for Swarm to place the file server: no suitable node',
    ],
    [
      'whose nodes were all excluded before, but are fit now',
      {
        ...used,
        service: service(['node.id!=n2', 'node.id!=n3']),
        nodes: [node('n1', { availability: 'drain' }), node('n2'), node('n3')],
        tasks: [task('t1', { nodeId: undefined, state: 'pending' })],
      },
      'Mounting: replaceTask [node.id!=n1]: the nodes chosen before are not available',
    ],
    [
      'whose task starts',
      { ...used, tasks: [task('t1', { state: 'preparing' })], memory: { unservedSince: now - 1_000 } },
      'Mounting: wait 59000: the file server starts on host-n1 (task preparing)',
    ],
    [
      'whose server has the claim but does not serve yet',
      {
        ...used,
        claim: claim('n1', 1),
        memory: { unservedSince: now - 3_000, lastClaim: { claim: claim('n1', 1), since: now - 1_000 } },
      },
      'Mounting: wait 59000: the file server on host-n1 starts',
    ],
    ['that is served', { ...used, claim: claim('n1', 1), server: server('n1', 1) }, 'Mounted: done'],
    [
      'whose server does not come within its time',
      {
        ...used,
        tasks: [
          task('t1', { state: 'running' }),
          task('t0', { desired: 'shutdown', message: 'no such image' }),
        ],
        memory: { unservedSince: now - 60_000 },
      },
      'Mounting: replaceTask [node.id!=n1]: the file server on host-n1 does not start',
    ],
    [
      'whose server has been missing for long says so and why',
      {
        ...used,
        tasks: [
          task('t2', { nodeId: 'n2', state: 'starting' }),
          task('t1', { desired: 'shutdown', message: 'no such image' }),
        ],
        memory: { unservedSince: now - 61_000, replaced: { at: now - 1_000, taskId: 't1' } },
      },
      'Error: wait 59000: no file server after 61 s: the file server starts on host-n2 (task starting); last message of Swarm: no such image',
    ],
    [
      'for which no node is fit',
      {
        ...used,
        service: undefined,
        nodes: [dead('n1'), node('n2', { availability: 'drain' }), node('n3', { drivers: ['local'] })],
        memory: { unservedSince: now - 1_000 },
      },
      'Mounting: wait 59000: starting a file server; no node is fit to serve (host-n1: no sign of life from its vFile plugin; host-n2: drained; host-n3: volume driver vdvs is not reported there)',
    ],
  ])('%s', (_when, patch, expected) => {
    expect(say(patch)).toBe(expected);
  });
});

describe('a volume whose server is lost', () => {
  const lost = { ...used, status: servedByN1, tasks: [task('t1')], memory: missing(0) };
  const n1Dead = [dead('n1'), node('n2'), node('n3')];

  it.each<[string, Partial<Observed>, string]>([
    [
      'ganesha died, its supervisor restarts it',
      { claim: claim('n1', 3), memory: { ...missing(1_000), claimMissingSince: now } },
      'Failing over: wait 9000: the file server on host-n1 restarts',
    ],
    [
      'ganesha does not come back in place, nor did it on other hosts',
      { claim: claim('n1', 3), memory: missing(10_000), inCircles: true },
      'Failing over: wait 50000: the file server on host-n1 restarts; it failed on other hosts too, so it stays there and pauses before each attempt',
    ],
    [
      'ganesha does not come back in place',
      { claim: claim('n1', 3), memory: missing(10_000) },
      'Failing over: replaceTask [node.id!=n1]: the file server on host-n1 does not serve',
    ],
    [
      'its host shows no sign of life, its claim has not run out yet',
      { claim: claim('n1', 3), nodes: n1Dead, memory: missing(2_000) },
      'Failing over: wait 8000: host-n1 is lost; its claim runs out',
    ],
    [
      'power cut: claim and sign of life are gone, at once',
      { nodes: n1Dead },
      'Failing over: replaceTask [node.id!=n1]: host-n1 is lost',
    ],
    [
      'power cut as a new leader sees it, remembering nothing',
      { nodes: n1Dead, memory: {} },
      'Failing over: replaceTask [node.id!=n1]: host-n1 is lost',
    ],
    [
      'Swarm knows that the host is down, although its plugin shows life',
      { nodes: [node('n1', { state: 'down' }), node('n2')] },
      'Failing over: replaceTask [node.id!=n1]: host-n1 is lost',
    ],
    [
      'its container died on a live host: Swarm restarts it',
      { tasks: [task('t1', { state: 'ready' })] },
      'Failing over: wait 3000: the file server on host-n1 stopped; waiting for Swarm to restart it',
    ],
    [
      'it could not renew its lease: it claims the volume anew where it is',
      {},
      'Failing over: wait 10000: the file server on host-n1 lost its claim; waiting for it to claim the volume anew',
    ],
    [
      'its container died, Swarm has made a new task',
      {
        tasks: [
          task('t1', { desired: 'shutdown', state: 'failed' }),
          task('t2', { createdAt: at(900), state: 'starting' }),
        ],
      },
      'Failing over: wait 60000: the file server starts on host-n1 (task starting)',
    ],
    [
      'its claim is gone but its task seems to run on: it is stuck',
      { memory: missing(10_000) },
      'Failing over: replaceTask [node.id!=n1]: the file server on host-n1 lost its claim',
    ],
    [
      'drained: Swarm moves the task by itself',
      {
        nodes: [node('n1', { availability: 'drain' }), node('n2'), node('n3')],
        tasks: [
          task('t1', { desired: 'shutdown' }),
          task('t2', { nodeId: 'n3', createdAt: at(900), state: 'ready' }),
        ],
      },
      'Failing over: wait 60000: the file server starts on host-n3 (task ready)',
    ],
    [
      'drained, still stopping with the claim in its hands',
      {
        claim: claim('n1', 3),
        nodes: [node('n1', { availability: 'drain' }), node('n2'), node('n3')],
      },
      'Failing over: wait 10000: the file server on host-n1 restarts',
    ],
    [
      'replaced a moment ago, Swarm has not made the new task yet',
      { nodes: n1Dead, memory: missing(200, { replaced: { at: now - 100, taskId: 't1' } }) },
      'Failing over: wait 4900: host-n1 is lost; waiting for Swarm to start another task',
    ],
    [
      'replaced, and Swarm did nothing',
      { nodes: n1Dead, memory: missing(5_200, { replaced: { at: now - 5_000, taskId: 't1' } }) },
      'Failing over: replaceTask [node.id!=n1]: host-n1 is lost',
    ],
    [
      'replaced, the new task starts',
      {
        nodes: n1Dead,
        tasks: [task('t1'), task('t2', { nodeId: 'n2', createdAt: at(900), state: 'assigned' })],
        memory: missing(1_000, { replaced: { at: now - 900, taskId: 't1' } }),
      },
      'Failing over: wait 59100: the file server starts on host-n2 (task assigned)',
    ],
    [
      'the host of the replacement is lost as well',
      {
        nodes: [dead('n1'), dead('n2'), node('n3')],
        tasks: [task('t1'), task('t2', { nodeId: 'n2', createdAt: at(900) })],
        memory: missing(4_000, { replaced: { at: now - 3_900, taskId: 't1' } }),
      },
      'Failing over: replaceTask [node.id!=n1 node.id!=n2]: host-n2 is lost',
    ],
    [
      'the replacement has the claim and starts',
      {
        nodes: n1Dead,
        claim: claim('n2', 4),
        tasks: [task('t1'), task('t2', { nodeId: 'n2', createdAt: at(900) })],
        memory: { ...missing(3_000), lastClaim: { claim: claim('n2', 4), since: now - 500 } },
      },
      'Failing over: wait 59500: the file server on host-n2 starts',
    ],
    [
      'the replacement serves',
      { nodes: n1Dead, claim: claim('n2', 4), server: server('n2', 4) },
      'Mounted: done',
    ],
    [
      'no other host is fit: the one that failed is better than none',
      { nodes: [node('n1'), node('n2', { availability: 'drain' })], memory: missing(10_000) },
      'Failing over: replaceTask [node.id!=n2]: the file server on host-n1 lost its claim',
    ],
    [
      'no host is fit at all',
      { nodes: [dead('n1'), node('n2', { availability: 'pause' })] },
      'Failing over: wait 60000: host-n1 is lost; no node is fit to serve (host-n1: no sign of life from its vFile plugin; host-n2: paused)',
    ],
  ])('%s', (_when, patch, expected) => {
    expect(say({ ...lost, ...patch })).toBe(expected);
  });

  it('a host that only lost its plugin keeps its server: claim and server say that it serves', () => {
    expect(say({ ...lost, nodes: n1Dead, claim: claim('n1', 3), server: server('n1', 3) })).toBe(
      'Mounted: done',
    );
  });
});

describe('mounts of nodes that do not come back', () => {
  it.each<[string, NodeFacts, string]>([
    ['a short partition counts on', dead('n9', { silentMs: 299_000 }), 'Mounted: done'],
    [
      'silent for too long',
      dead('n9', { silentMs: 300_000 }),
      'Mounted: dropMount: the mounts of host-n9 count no more: it shows no sign of life any more',
    ],
    [
      'left the Swarm',
      dead('n9', { inSwarm: false }),
      'Mounted: dropMount: the mounts of host-n9 count no more: it has left the Swarm',
    ],
    ['left the Swarm but still shows life', node('n9', { inSwarm: false }), 'Mounted: done'],
  ])('%s', (_when, facts, expected) => {
    const patch = {
      ...used,
      mounts: [mount('n2'), mount('n9')],
      status: servedByN1,
      claim: claim('n1', 3),
      server: server('n1', 3),
      nodes: [node('n1'), node('n2'), facts],
    };
    expect(say(patch)).toBe(expected);
  });

  it('do not keep a volume from being removed for ever', () => {
    const made = plan({
      spec: spec({ deleting: started }),
      mounts: [mount('n9')],
      nodes: [node('n1'), dead('n9', { inSwarm: false })],
    });
    expect(made).toMatchObject({ kind: 'step', step: { do: 'dropMount' } });
  });
});
