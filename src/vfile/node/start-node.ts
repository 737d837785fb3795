import type { Mirror } from '../../etcd/mirror.ts';
import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { EngineContainers } from '../../swarm/swarm.ts';
import { parseVolumeKey, vfileKeys } from '../keys.ts';
import type { VfileSettings } from '../settings.ts';
import type { ServerStart, Serving } from './decide-target.ts';
import { createVfileDriver } from './driver.ts';
import type { KnownDriver } from './known-driver.ts';
import type { LocalNodeSource } from './local-node.ts';
import { createMountAttempts } from './mount-attempts.ts';
import type { Mounter } from './nfs-mount.ts';
import { createNodeMounts, type Inheritance, type NodeMounts } from './node-mounts.ts';
import { keepNodeRecord } from './node-record.ts';
import type { NodeState } from './node-state.ts';
import { createOwnRecords, insist } from './own-record.ts';
import { reconcileInherited } from './reconcile.ts';
import type { Retargeter } from './retarget.ts';
import { createVolumeLifecycle } from './volume-lifecycle.ts';
import { createVolumeView, type VolumeView } from './volume-view.ts';

/** What a node needs once the store can be reached. */
export interface NodeParts {
  readonly settings: VfileSettings;
  readonly store: Store;
  /** Of `vfileKeys.volumes`. */
  readonly mirror: Mirror;
  readonly node: LocalNodeSource;
  readonly state: NodeState;
  readonly mounter: Mounter;
  readonly retargeter: Retargeter;
  readonly engine: EngineContainers;
  readonly known: KnownDriver;
  /** Where the retargeter looks for who serves; filled in here. */
  readonly servingSlot: { serving: (volume: string) => Serving };
  /** Called by the retargeter when this node goes on with a new start of the server; filled in here. */
  readonly resumedSlot: { resumed: (volume: string, server: ServerStart, stallMs: number) => void };
  /** What this node cannot do. */
  readonly problems: () => readonly string[];
  readonly canRetarget: () => boolean;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Docker cuts Create and Mount at 120 s, the protocol at 115: what is tried ends before, with time to undo it. */
const longestTryMs = 103_000;
const undoMs = 8_000;
/** Remove and Unmount have 55 s. */
const removeMs = 45_000;
const unmountTurnMs = 8_000;
const problemsEveryMs = 3_000;
const knownDelayMs = 1_000;

/** What may be behind a wait that came to nothing: does anybody lead? */
async function explainWait(store: Store): Promise<string> {
  try {
    return (await store.get(vfileKeys.leader)) ? '' : 'no vFile manager leads: are its services running?';
  } catch (thrown) {
    return `etcd is out of reach: ${toVolumeError(thrown).message}`;
  }
}

/** What an earlier plugin left: its mounts and its records. After a reboot nothing of what is recorded is true any more. */
async function inheritance(parts: NodeParts, view: VolumeView): Promise<Inheritance> {
  const { mounter, state, node } = parts;
  const { nodeId } = node.current();
  const mounted = (await mounter.mounted()).map((mount) => mount.volume);
  const recorded = view.mountedBy(nodeId).filter((volume) => !state.rebooted || mounted.includes(volume));
  const ids = new Map(recorded.map((volume) => [volume, view.mount(volume, nodeId)?.ids ?? {}]));
  return { mounted, ids };
}

/** Records that a reboot has made untrue. */
function dropStaleRecords(parts: NodeParts, view: VolumeView, mounts: NodeMounts, kept: Inheritance): void {
  const { node, clock, log, signal } = parts;
  for (const volume of view.mountedBy(node.current().nodeId)) {
    if (kept.ids.has(volume)) continue;
    const what = 'removing the mount record of before the reboot';
    void insist({ clock, log: log.child({ volume }), signal, what }, () => mounts.dropInherited(volume));
  }
}

/** Volumes that were in use when an earlier plugin ended and are not mounted: containers may hold them all the same. */
function trackInherited(parts: NodeParts, view: VolumeView, kept: Inheritance): void {
  const { retargeter, state } = parts;
  const { inUse } = state.memory;
  for (const volume of new Set([...kept.mounted, ...kept.ids.keys()])) {
    const port = view.spec(volume)?.port;
    if (port !== undefined) void retargeter.track(volume, port, inUse[volume]?.transports);
  }
  for (const volume of Object.keys(inUse)) {
    if (!kept.mounted.includes(volume) && !kept.ids.has(volume)) retargeter.untrack(volume);
  }
}

/** Passes on what the mirror sees: who serves to the retargeter, lost records to the mounts, names to the memory. */
function followMirror(parts: NodeParts, view: VolumeView, mounts: NodeMounts): void {
  const { mirror, retargeter, state, node, clock, log, signal } = parts;
  let saving = false;
  const saveKnown = async (): Promise<void> => {
    if (saving) return;
    saving = true;
    // Volumes come and go in bursts.
    await clock.sleep(knownDelayMs, signal).catch(() => undefined);
    saving = false;
    state.update({ known: Object.fromEntries(view.specs().map((spec) => [spec.name, spec.createdAt])) });
  };
  mirror.onChange((keys) => {
    for (const key of keys) {
      const place = parseVolumeKey(key);
      if (place?.part === 'server' || place?.part === 'claim') retargeter.look(place.volume);
      if (place?.part === 'spec') void saveKnown();
      const own = place?.part === 'mounts' && place.node === node.current().nodeId;
      if (place && own && !mirror.entries.has(key)) {
        mounts
          .ensureRecord(place.volume)
          .catch((thrown) =>
            log.warn('mount record lost', { volume: place.volume, error: toVolumeError(thrown).message }),
          );
      }
    }
  });
  retargeter.look();
  void saveKnown();
}

/** Registers the node and keeps its problems shown. */
function register(parts: NodeParts, mounts: NodeMounts, used: () => readonly string[]) {
  const { store, node, settings, retargeter, problems, version, clock, log, signal } = parts;
  const record = () => {
    const { nodeId, hostname, address } = node.current();
    const all = [...problems(), ...retargeter.problems()];
    return { v: 1 as const, node: nodeId, host: hostname, address, version, problems: all };
  };
  const keeper = keepNodeRecord({ store, clock, log, leaseMs: settings.nodeLeaseMs, record: record() });
  // Whoever was out of contact for long may have had its records taken away.
  keeper.onRegistered(() => {
    for (const volume of used()) void mounts.ensureRecord(volume).catch(() => undefined);
  });
  let shown = JSON.stringify(record());
  const show = async (): Promise<void> => {
    while (!signal.aborted) {
      await clock.sleep(problemsEveryMs, signal).catch(() => undefined);
      const now = record();
      if (JSON.stringify(now) === shown) continue;
      shown = JSON.stringify(now);
      keeper.set(now);
    }
  };
  void show();
  return keeper;
}

/**
 * Puts a node together once the mirror has been read: takes over what an earlier plugin left, attaches the driver, registers the
 * node.
 * @returns the way to stop: leaves mounts and records as they are, for the plugin that comes next.
 */
export async function startNode(parts: NodeParts): Promise<() => Promise<void>> {
  const { settings, store, mirror, node, mounter, retargeter, engine, known, clock, log, signal } = parts;
  const view = createVolumeView(mirror);
  const kept = await inheritance(parts, view);
  const explain = () => explainWait(store);
  const tryMs = Math.min(settings.timeoutMs, longestTryMs);
  const attempts = createMountAttempts({ ...parts, view, explain });
  const records = createOwnRecords({ store, mirror, view, clock, log, node: node.current });
  const mounts = createNodeMounts({
    mounter,
    attempts,
    retargeter,
    records,
    view,
    clock,
    log,
    times: { mountMs: tryMs, unmountTurnMs },
    inherited: kept,
  });
  const lifecycle = createVolumeLifecycle({
    store,
    mirror,
    view,
    clock,
    log,
    settings,
    nodeId: node.current().nodeId,
    explain,
    times: { createMs: tryMs, undoMs, removeMs: Math.min(settings.timeoutMs, removeMs) },
  });
  parts.servingSlot.serving = view.serving;
  parts.resumedSlot.resumed = (volume, { epoch, instance }, ms) => {
    records.noteStall(volume, { epoch, instance, ms });
    void mounts.ensureRecord(volume).catch((thrown) =>
      // Only for who reads the record of the failover; the next write of the record has it.
      log.debug('stall not recorded yet', { volume, error: toVolumeError(thrown).message }),
    );
  };
  trackInherited(parts, view, kept);
  followMirror(parts, view, mounts);
  known.attach(createVfileDriver({ store, mirror, view, lifecycle, mounts, retargeter, clock, log }));
  log.info('ready', { volumes: view.specs().length, mounted: kept.mounted, recorded: [...kept.ids.keys()] });
  dropStaleRecords(parts, view, mounts, kept);
  const keeper = register(parts, mounts, mounts.usedVolumes);
  void reconcileInherited({ mounts, engine, clock, log, signal });
  return async () => {
    mounts.stop();
    await keeper.stop({ remove: false });
  };
}
