import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ManagerEvent } from '../vfile/manager/events.ts';
import { type FailoverRecord, volumeStates } from '../vfile/types.ts';
import type { AdminData } from './admin-data.ts';

/** Metrics of a manager: what the store holds (on every manager) and what this one did while it led. */
export interface Metrics {
  readonly registry: Registry;
  /** Counts what happened. */
  observe(event: ManagerEvent): void;
}

/** Buckets for what should take seconds, in seconds. */
const secondsBuckets = [0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60, 120];

/** How long each phase of a failover took that there was, ms. */
function phasesOf({ orderedMs, claimedMs, durationMs }: FailoverRecord): (readonly [string, number])[] {
  const phases: (readonly [string, number])[] = [];
  let before = 0;
  for (const [phase, end] of [
    ['order', orderedMs],
    ['start', claimedMs],
    ['serve', durationMs],
  ] as const) {
    if (end === undefined) continue;
    phases.push([phase, Math.max(0, end - before)]);
    before = end;
  }
  return phases;
}

/** Makes the metrics in a registry of their own. */
export function createMetrics({ data }: { readonly data: AdminData }): Metrics {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({
    name: 'vfile_volumes',
    help: 'Volumes by state',
    labelNames: ['state'],
    registers,
    collect() {
      for (const state of volumeStates) this.set({ state }, 0);
      for (const { state } of data.volumes()) this.inc({ state });
    },
  });
  new Gauge({
    name: 'vfile_volume_mounts',
    help: 'Nodes that have the volume mounted',
    labelNames: ['volume'],
    registers,
    collect() {
      this.reset();
      for (const { name, mounts } of data.volumes()) this.set({ volume: name }, mounts.length);
    },
  });
  new Gauge({
    name: 'vfile_volume_bytes',
    help: 'Size and use of the file systems of volumes that are being served',
    labelNames: ['volume', 'kind'],
    registers,
    collect() {
      this.reset();
      for (const { name, capacity } of data.volumes()) {
        if (!capacity) continue;
        this.set({ volume: name, kind: 'size' }, capacity.size);
        this.set({ volume: name, kind: 'used' }, capacity.used);
      }
    },
  });
  new Gauge({
    name: 'vfile_volume_standby',
    help: '1 while a second file server of the volume waits on another node',
    labelNames: ['volume'],
    registers,
    collect() {
      this.reset();
      for (const { name, standby } of data.volumes()) this.set({ volume: name }, standby ? 1 : 0);
    },
  });
  new Gauge({
    name: 'vfile_nodes_alive',
    help: 'Nodes whose plugin is alive',
    registers,
    collect() {
      this.set(data.nodes().length);
    },
  });
  new Gauge({
    name: 'vfile_store_synced',
    help: '1 while contact with etcd is good',
    registers,
    collect() {
      this.set(data.freshness().synced ? 1 : 0);
    },
  });
  const leading = new Gauge({ name: 'vfile_leading', help: '1 on the manager that leads', registers });
  const failovers = new Counter({ name: 'vfile_failovers_total', help: 'Failovers finished', registers });
  const takeovers = new Counter({
    name: 'vfile_standby_takeovers_total',
    help: 'Failovers finished in which a standby took over',
    registers,
  });
  const failoverSeconds = new Histogram({
    name: 'vfile_failover_seconds',
    help: 'From the loss of a server until the volume was served again',
    buckets: secondsBuckets,
    registers,
  });
  const phaseSeconds = new Histogram({
    name: 'vfile_failover_phase_seconds',
    help: 'Parts of failovers: order (until a new server was ordered), start (until it had the claim), serve (until it served)',
    labelNames: ['phase'],
    buckets: secondsBuckets,
    registers,
  });
  const steps = new Histogram({
    name: 'vfile_step_seconds',
    help: 'Steps done by this manager',
    labelNames: ['step'],
    buckets: secondsBuckets,
    registers,
  });
  const failures = new Counter({
    name: 'vfile_step_failures_total',
    help: 'Steps that failed and were tried again',
    labelNames: ['step'],
    registers,
  });
  return {
    registry,
    observe(event) {
      if (event.type === 'leading') leading.set(1);
      else if (event.type === 'following') leading.set(0);
      else if (event.type === 'step') steps.observe({ step: event.step }, event.durationMs / 1_000);
      else if (event.type === 'failed') failures.inc({ step: event.step });
      else if (event.type === 'failover') {
        failovers.inc();
        if (event.record.by === 'standby') takeovers.inc();
        if (event.record.durationMs !== undefined) failoverSeconds.observe(event.record.durationMs / 1_000);
        for (const [phase, ms] of phasesOf(event.record)) phaseSeconds.observe({ phase }, ms / 1_000);
      }
    },
  };
}
