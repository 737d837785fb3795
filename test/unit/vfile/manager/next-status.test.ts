import { describe, expect, it } from 'vitest';
import type { ServiceState, TaskState } from '../../../../src/swarm/swarm.ts';
import { nextStatus, sameStatus } from '../../../../src/vfile/manager/next-status.ts';
import type { NodeFacts, Observed, Plan } from '../../../../src/vfile/manager/observed.ts';
import type { VolumeStatus } from '../../../../src/vfile/types.ts';

const started = '2026-01-01T00:00:00.000Z';
const moment = { wall: Date.parse(started) + 60_000, monotonic: 60_000 };
const status: VolumeStatus = {
  v: 1,
  state: 'Mounted',
  reason: '',
  since: started,
  baseReady: true,
  server: { node: 'n1', address: '10.0.0.1', epoch: 3 },
};
const mount = {
  value: { v: 1 as const, node: 'n2', host: 'h2', address: '10.0.0.2', ids: { a: 1 }, since: started },
  modRevision: 1,
};
const server = {
  v: 1 as const,
  node: 'n2',
  host: 'h2',
  address: '10.0.0.2',
  port: 20_500,
  epoch: 4,
  instance: 1,
  since: started,
};
const observed = (patch: Partial<Observed>): Observed => ({
  name: 'shared',
  spec: {
    value: {
      v: 1,
      name: 'shared',
      options: {},
      baseDriver: 'vdvs',
      baseVolume: '_vF_shared',
      port: 20_500,
      createdAt: started,
      createdBy: 'n1',
    },
    modRevision: 1,
  },
  status,
  mounts: [mount],
  claim: undefined,
  server: undefined,
  move: undefined,
  service: undefined,
  tasks: [],
  nodes: [],
  memory: {},
  settings: {
    baseDriver: 'vdvs',
    lingerMs: 0,
    serverLeaseMs: 0,
    deadNodeMs: 0,
    startDeadlineMs: 0,
    standby: true,
    standbyAfterMs: 0,
  },
  inCircles: false,
  now: moment.monotonic,
  ...patch,
});
const wait = (deadline: number): Plan => ({
  kind: 'wait',
  state: 'Failing over',
  reason: 'h1 is lost',
  deadline,
  lookAfterMs: 1,
});
const mounted: Plan = { kind: 'done', state: 'Mounted', reason: '' };

describe('the status of a volume', () => {
  it('keeps its age while the state stays, and has a wall-clock deadline while it waits', () => {
    expect(nextStatus(observed({ server }), mounted, moment).since).toBe(started);
    const waiting = nextStatus(observed({}), wait(65_000), moment);
    expect(waiting.since).toBe('2026-01-01T00:01:00.000Z');
    expect(waiting.deadline).toBe('2026-01-01T00:01:05.000Z');
  });

  it('remembers the server that is missed, and forgets one that was stopped', () => {
    expect(nextStatus(observed({}), wait(0), moment).server).toEqual(status.server);
    const ready: Plan = { kind: 'done', state: 'Ready', reason: '' };
    expect(nextStatus(observed({ mounts: [] }), ready, moment)).not.toHaveProperty('server');
  });

  it('a failover begins when the server went missing and ends when one serves', () => {
    const begun = nextStatus(observed({ memory: { unservedSince: 58_000 } }), wait(0), moment);
    expect(begun.lastFailover).toEqual({
      at: '2026-01-01T00:00:58.000Z',
      cause: 'h1 is lost',
      from: 'n1',
    });
    const later = { wall: moment.wall + 5_000, monotonic: moment.monotonic + 5_000 };
    const ended = nextStatus(observed({ status: begun, server }), mounted, later);
    expect(ended.lastFailover).toMatchObject({ to: 'h2', durationMs: 7_000 });
    const again = nextStatus(observed({ status: ended, server }), mounted, later);
    expect(again.lastFailover).toEqual(ended.lastFailover);
  });

  it('a failover that no manager saw leaves a record too, once', () => {
    const served = nextStatus(observed({ server }), mounted, moment);
    expect(served.lastFailover).toMatchObject({
      at: started,
      cause: expect.stringContaining('no manager led'),
      ...{ from: 'n1', to: 'h2', by: 'new task', durationMs: 0, epoch: 4, instance: 1 },
    });
    const again = nextStatus(observed({ status: served, server }), mounted, moment);
    expect(again.lastFailover).toEqual(served.lastFailover);
    // A volume that is served for the first time, or again after it was stopped, or that nobody uses: none.
    const { server: _before, ...stopped } = status;
    for (const none of [observed({ status: stopped, server }), observed({ mounts: [], server })]) {
      expect(nextStatus(none, mounted, moment)).not.toHaveProperty('lastFailover');
    }
  });

  it('a failover notes when a new server was ordered and when it had the claim', () => {
    const claim = { v: 1 as const, node: 'n2', epoch: 4, since: started };
    const begun = nextStatus(observed({ memory: { unservedSince: 60_000 } }), wait(0), moment);
    const at = (ms: number) => ({ wall: moment.wall + ms, monotonic: moment.monotonic + ms });
    const ordered = nextStatus(
      observed({
        status: begun,
        memory: { unservedSince: 60_000, replaced: { at: 60_150, taskId: 't1' } },
      }),
      wait(0),
      at(200),
    );
    expect(ordered.lastFailover).toMatchObject({ orderedMs: 150 });
    expect(ordered.lastFailover).not.toHaveProperty('claimedMs');
    const memory = { lastClaim: { claim, since: 63_000 } };
    const ended = nextStatus(observed({ status: ordered, server, memory }), mounted, at(4_000));
    expect(ended.lastFailover).toMatchObject({ orderedMs: 150, claimedMs: 3_000, durationMs: 4_000 });
  });

  it('a failover says whether a standby took over, a new task came, or the server came back', () => {
    const two = { replicas: 2 } as ServiceState;
    const one = { replicas: 1 } as ServiceState;
    const begun = nextStatus(observed({ memory: { unservedSince: 60_000 } }), wait(0), moment);
    const by = (patch: Partial<Observed>) =>
      nextStatus(observed({ status: begun, server, ...patch }), mounted, moment).lastFailover?.by;
    expect(by({ service: two })).toBe('standby');
    expect(by({ service: one })).toBe('new task');
    const onSameNode = { ...server, node: 'n1' };
    expect(by({ service: two, server: onSameNode })).toBe('new task');
    expect(by({ service: two, server: { ...onSameNode, epoch: 3, instance: 2 } })).toBeUndefined();
    const again = { ...onSameNode, host: 'h1', after: 'killed: no lease' };
    expect(by({ service: two, server: again })).toBeUndefined();
    expect(
      nextStatus(observed({ status: begun, server: again }), mounted, moment).lastFailover,
    ).toMatchObject({ cause: 'on h1: killed: no lease', to: 'h1', epoch: 4 });
    const memory = { unservedSince: 60_000, replaced: { at: 60_000, taskId: 't1' } };
    const ordered = nextStatus(observed({ status: begun, memory }), wait(0), moment);
    expect(by({ status: ordered, service: two })).toBe('new task');
  });

  it('remembers when failovers that nobody had asked for went to another host, the last few', () => {
    const begun = (cause: string) =>
      nextStatus(observed({ memory: { unservedSince: 60_000 } }), { ...wait(0), reason: cause }, moment);
    const moves = (patch: Partial<Observed>) =>
      nextStatus(observed({ status: begun('h1 is lost'), server, ...patch }), mounted, moment).unaskedMoves;
    const at = new Date(moment.wall).toISOString();
    expect(moves({})).toEqual([at]);
    expect(moves({ status: { ...begun('h1 is lost'), unaskedMoves: ['d', 'c', 'b', 'a'] } })).toEqual([
      at,
      ...['d', 'c', 'b'],
    ]);
    // Asked for, in place, or told before already.
    expect(moves({ status: begun('moved as asked') })).toBeUndefined();
    const home = { ...server, node: 'n1', host: 'n1', epoch: 3, instance: 2, after: 'ganesha ended' };
    expect(moves({ server: home })).toBeUndefined();
    const ended = nextStatus(observed({ status: begun('h1 is lost'), server }), mounted, moment);
    expect(moves({ status: ended })).toEqual([at]);
  });

  it('says where the standby is, also while it takes over', () => {
    const node = { id: 'n3', host: 'h3', alive: true, state: 'ready', availability: 'active' } as NodeFacts;
    const tasks = [{ desired: 'running', state: 'running', nodeId: 'n3' } as TaskState];
    const facts = { service: { replicas: 2 } as ServiceState, nodes: [node], tasks };
    const standby = { node: 'n3', host: 'h3' };
    expect(nextStatus(observed({ ...facts, server }), mounted, moment)).toMatchObject({ standby });
    expect(nextStatus(observed(facts), wait(0), moment)).toMatchObject({ standby });
    const itself = { ...server, node: 'n3' };
    expect(nextStatus(observed({ ...facts, server: itself }), mounted, moment)).not.toHaveProperty('standby');
  });

  it('a failover notes what became of the clients, as the server and the nodes tell it', () => {
    const begun = nextStatus(observed({ memory: { unservedSince: 60_000 } }), wait(0), moment);
    const at = (ms: number) => ({ wall: moment.wall + ms, monotonic: moment.monotonic + ms });
    const stalled = (epoch: number, ms: number) => ({
      value: { ...mount.value, stall: { epoch, instance: 1, ms } },
      modRevision: 1,
    });
    const mounts = [stalled(4, 6_900), stalled(4, 7_200), stalled(3, 20_000), mount];
    const served = nextStatus(observed({ status: begun, server, mounts }), mounted, at(4_000));
    expect(served.lastFailover).toMatchObject({ durationMs: 4_000, epoch: 4, instance: 1, stallMs: 7_200 });
    expect(served.lastFailover).not.toHaveProperty('reclaimed');
    const grace = { awaited: 3, reclaimed: 2 };
    const over = nextStatus(observed({ status: served, server: { ...server, grace } }), mounted, at(7_000));
    expect(over.lastFailover).toEqual({ ...served.lastFailover, ...grace, graceEndedMs: 7_000 });
    const later = observed({ status: over, server: { ...server, grace }, mounts: [stalled(4, 7_500)] });
    expect(nextStatus(later, mounted, at(9_000)).lastFailover).toEqual({
      ...over.lastFailover,
      stallMs: 7_500,
    });
  });

  it('what another start of the server tells is not noted', () => {
    const begun = nextStatus(observed({ memory: { unservedSince: 60_000 } }), wait(0), moment);
    const served = nextStatus(observed({ status: begun, server }), mounted, moment);
    const again = { ...server, instance: 2, grace: { awaited: 1, reclaimed: 1 } };
    const next = nextStatus(observed({ status: served, server: again }), mounted, moment);
    expect(next.lastFailover).toEqual(served.lastFailover);
  });

  it('the claim of the lost server is no phase of its failover', () => {
    const claim = { v: 1 as const, node: 'n1', epoch: 3, since: started };
    const memory = { unservedSince: 60_000, lastClaim: { claim, since: 60_000 } };
    expect(nextStatus(observed({ memory }), wait(0), moment).lastFailover).not.toHaveProperty('claimedMs');
  });

  it('keeps the last failovers, the newest first', () => {
    let now = moment;
    let last = status;
    for (let number = 1; number <= 8; number++) {
      now = { wall: now.wall + 1_000, monotonic: now.monotonic + 1_000 };
      const lost = { status: { ...last, server: { node: 'n1', address: 'a', epoch: number } } };
      const begun = nextStatus(observed({ ...lost, memory: { unservedSince: now.monotonic } }), wait(0), now);
      last = nextStatus(observed({ status: begun, server }), mounted, now);
    }
    const times = [last.lastFailover, ...(last.earlierFailovers ?? [])].map((one) => one?.at.slice(17, 19));
    expect(times).toEqual(['08', '07', '06', '05', '04']);
  });

  it('a step that failed says what, how often and why', () => {
    const plan: Plan = {
      kind: 'step',
      step: { do: 'createBase' },
      state: 'Creating',
      reason: 'creating _vF_shared',
    };
    const after = (attempts: number, passing: boolean) =>
      nextStatus(
        observed({ memory: { failed: { step: 'createBase', message: 'full', attempts, passing } } }),
        plan,
        moment,
      );
    const reason = 'creating _vF_shared failed (attempt 3), trying again: full';
    expect(after(3, false)).toMatchObject({ state: 'Error', reason });
    expect(after(2, false).state).toBe('Creating');
    expect(after(3, true)).toMatchObject({ state: 'Creating', reason });
    expect(after(8, true).state).toBe('Error');
  });

  it('is written again only for a difference that matters', () => {
    const one = { ...status, deadline: '2026-01-01T00:01:05.000Z' };
    expect(sameStatus(one, { ...one, deadline: '2026-01-01T00:01:06.000Z' })).toBe(true);
    expect(sameStatus(one, { ...one, deadline: '2026-01-01T00:01:09.000Z' })).toBe(false);
    expect(sameStatus(one, status)).toBe(false);
    expect(sameStatus(status, { ...status, reason: 'x' })).toBe(false);
    expect(sameStatus(status, { ...status, server: { node: 'n1', address: '10.0.0.1', epoch: 4 } })).toBe(
      false,
    );
  });
});
