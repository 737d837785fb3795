import { VolumeError } from '../../lib/errors.ts';
import type { VolumeView } from '../api.ts';
import { vdvsKeys } from '../keys.ts';
import { renderVolumeName } from '../names.ts';
import { parseSize, renderSize } from '../sizes.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { underClaim } from './claims.ts';
import { growPromised } from './grow-promised.ts';
import { updateNotes } from './notes.ts';
import { readVolume, type VolumeState } from './records.ts';
import {
  attempts,
  backendOf,
  type Caller,
  diskOf,
  type ServiceParts,
  unknownVolume,
} from './service-parts.ts';
import { viewOf } from './volumes.ts';
import { waitForChange } from './wait-for-change.ts';

/** A volume whose file system a node has to grow to the size of its disk. */
export interface GrowTask {
  readonly volume: VolumeId;
  readonly sizeBytes: number;
}

/**
 * Growing volumes. The record says first what size is wanted, then the disk follows, then the file system, by the node
 * that has it mounted or at the next mount; each step may be done again by anybody.
 */
export interface Resizing {
  /**
   * Grows the disk and waits a while for the file system.
   * @param size as users write it.
   * @returns the volume; `record.growing` when its file system will follow later.
   * @throws VolumeError `invalid` for a smaller size, `no_space`.
   */
  resize(caller: Caller, id: VolumeId, size: string): Promise<VolumeView>;
  /** A holder says that the file system has this size now. */
  grown(caller: Caller, id: VolumeId, epoch: number, sizeBytes: number): Promise<void>;
  /** What the caller has to grow; waits up to `waitMs` ms for there to be something. */
  tasks(caller: Caller, waitMs: number, signal: AbortSignal): Promise<GrowTask[]>;
}

/** ms that a resize waits for the node which has the volume mounted. */
const nodeMs = 20_000;

/** Growing over the store and the datastores' backends. */
export function createResizing(parts: ServiceParts): Resizing {
  const { store, clock, log } = parts;
  const wakeFolder = (node: string) => `${vdvsKeys.wake(node)}/`;
  const wakeKey = (node: string, id: VolumeId) => `${wakeFolder(node)}${id.datastore}/${id.name}`;

  const requireReady = async (id: VolumeId) => {
    const state = await readVolume(store, id);
    if (state.volume?.value.phase !== 'ready') throw unknownVolume(id);
    return { ...state, volume: state.volume };
  };

  /** Notes the size that is wanted; who has the volume mounted is told in the same step. */
  const want = async (caller: Caller, id: VolumeId, sizeBytes: number, state: VolumeState): Promise<void> => {
    const { volume, attachment } = state;
    if (!volume) throw unknownVolume(id);
    const { value, modRevision } = volume;
    const fromBytes = value.options.sizeBytes;
    const blank = !value.formatted && value.inherits === undefined && !attachment;
    const record: VolumeRecord = {
      ...value,
      options: { ...value.options, sizeBytes },
      // Without a file system there is none to grow: it will be made in the right size.
      ...(blank ? {} : { growing: true }),
    };
    const holder = vdvsKeys.attachment(id);
    await parts.gate.commitSize(
      { caller, id, fromBytes, toBytes: sizeBytes },
      [
        { key: vdvsKeys.volume(id), modRevision },
        attachment ? { key: holder, modRevision: attachment.modRevision } : { key: holder, is: 'absent' },
      ],
      [
        { put: vdvsKeys.volume(id), value: record },
        ...(attachment ? [{ put: wakeKey(attachment.value.node, id), value: { v: 1 } }] : []),
      ],
    );
  };

  /** Takes a wish back that the datastore has no space for, unless somebody went on from it. */
  const takeBack = async (
    caller: Caller,
    id: VolumeId,
    fromBytes: number,
    toBytes: number,
  ): Promise<void> => {
    const { volume } = await readVolume(store, id);
    if (!volume || volume.value.options.sizeBytes !== fromBytes) return;
    const options = { ...volume.value.options, sizeBytes: toBytes };
    const record: VolumeRecord = { ...volume.value, options };
    await parts.gate.commitSize(
      { caller, id, fromBytes, toBytes },
      [{ key: vdvsKeys.volume(id), modRevision: volume.modRevision }],
      [{ put: vdvsKeys.volume(id), value: record }],
    );
  };

  const growDisk = async (record: VolumeRecord): Promise<boolean> =>
    await underClaim(parts, vdvsKeys.copying(record), async () => {
      await backendOf(parts, record).grow(diskOf(record));
      await updateNotes(parts, 'volume', record);
    });

  /** Until the holder has grown the file system, or time is up. */
  const awaitNode = async (id: VolumeId): Promise<VolumeView> => {
    for (const until = clock.monotonic() + nodeMs; ; ) {
      const state = await requireReady(id);
      const left = until - clock.monotonic();
      const view = viewOf(state);
      if (!view) throw unknownVolume(id);
      if (!view.record.growing || !view.attached || left <= 0) return view;
      const { signal } = new AbortController();
      await waitForChange(store, vdvsKeys.volume(id), state.volume.modRevision + 1, left, { clock, signal });
    }
  };

  return {
    async resize(caller, id, size) {
      const sizeBytes = parseSize('size', size);
      let before: number | undefined;
      await attempts(id, async () => {
        const state = await requireReady(id);
        const record = state.volume.value;
        if (sizeBytes < record.options.sizeBytes) {
          throw new VolumeError(
            'invalid',
            `volume ${renderVolumeName(id)} is ${renderSize(record.options.sizeBytes)}; volumes can only grow, not shrink to ${renderSize(sizeBytes)}`,
          );
        }
        if (sizeBytes > record.options.sizeBytes) {
          before ??= record.options.sizeBytes;
          await want(caller, id, sizeBytes, state);
          return undefined;
        }
        try {
          return (await growDisk(record)) || undefined;
        } catch (thrown) {
          if (before !== undefined && thrown instanceof VolumeError && thrown.code === 'no_space') {
            await takeBack(caller, id, sizeBytes, before);
          }
          throw thrown;
        }
      });
      log.info('disk grown', { volume: renderVolumeName(id), size });
      return await awaitNode(id);
    },

    async grown(caller, id, epoch, sizeBytes) {
      await attempts(id, async () => {
        const { volume, attachment } = await readVolume(store, id);
        const held = attachment?.value;
        if (!volume || !attachment || held?.node !== caller.node || held.epoch !== epoch) {
          throw new VolumeError('conflict', `volume ${renderVolumeName(id)} is not attached here any more`);
        }
        // A still larger size was asked for meanwhile: this is not the end.
        if (!volume.value.growing || volume.value.options.sizeBytes !== sizeBytes) return true;
        const { growing: _done, ...record } = volume.value;
        const { done } = await store.txn(
          [
            { key: vdvsKeys.volume(id), modRevision: volume.modRevision },
            { key: vdvsKeys.attachment(id), modRevision: attachment.modRevision },
          ],
          [{ put: vdvsKeys.volume(id), value: record }, { delete: wakeKey(caller.node, id) }],
        );
        if (!done) return undefined;
        log.info('file system grown', { volume: renderVolumeName(id), sizeBytes });
        await updateNotes(parts, 'volume', record);
        return true;
      });
    },

    async tasks({ node }, waitMs, signal) {
      for (const until = clock.monotonic() + waitMs; ; ) {
        signal.throwIfAborted();
        const { entries, revision } = await store.list(wakeFolder(node));
        const found: GrowTask[] = [];
        for (const { key, modRevision } of entries) {
          const [datastore = '', name = ''] = key.slice(wakeFolder(node).length).split('/');
          const volume = { datastore, name };
          const state = await readVolume(store, volume);
          const record = state.volume?.value;
          if (record?.growing && state.attachment?.value.node === node) {
            if (await growPromised(parts, record)) {
              found.push({ volume, sizeBytes: record.options.sizeBytes });
            }
          } else await store.txn([{ key, modRevision }], [{ delete: key }]);
        }
        const left = until - clock.monotonic();
        if (found.length > 0 || left <= 0) return found;
        await waitForChange(store, wakeFolder(node), revision + 1, left, { clock, signal });
      }
    },
  };
}
