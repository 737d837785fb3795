import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Grant } from '../api.ts';
import { vdvsKeys } from '../keys.ts';
import { renderVolumeName } from '../names.ts';
import type { Attachment, VolumeId, VolumeRecord } from '../types.ts';
import { growPromised } from './grow-promised.ts';
import { createLeavingBehind } from './leaving-behind.ts';
import { updateNotes } from './notes.ts';
import { type Read, readVolume, type VolumeState } from './records.ts';
import { createReleasedVolumes } from './released-volumes.ts';
import { backendOf, type Caller, diskOf, type ServiceParts, unknownVolume } from './service-parts.ts';
import { waitForChange } from './wait-for-change.ts';

/** What an attach asks for. */
export interface AttachRequest {
  /** The caller's node lease. */
  readonly lease: string;
  /** ms to wait for another holder to let go. */
  readonly waitMs: number;
}

/** Who may open a disk. */
export interface Attachments {
  /**
   * Makes the caller the one holder; the same caller with the same lease gets the same grant again.
   * @param early what `look` found; what it is decided on is compared when it is done.
   * @throws VolumeError `busy` naming the holder when another node still has it after `waitMs`.
   */
  attach(
    caller: Caller,
    id: VolumeId,
    request: AttachRequest,
    signal: AbortSignal,
    early?: VolumeState,
  ): Promise<Grant>;
  /**
   * As `attach`, of what is only probably the volume that is meant, and only if it is nobody's and was given back as it should
   * be: a store that has it otherwise, and rules that mean another volume, refuse it.
   * @returns `undefined` when nothing was done.
   */
  attachFree(
    caller: Caller,
    id: VolumeId,
    request: Pick<AttachRequest, 'lease'>,
    state: VolumeState,
  ): Promise<Grant | undefined>;
  /** A volume's records ahead of an attach; as remembered, when this service has just taken it back. */
  look(id: VolumeId): Promise<VolumeState>;
  /**
   * Gives an attachment back; nothing happens when it is not the caller's with this epoch any more.
   * @param createdAt creation of the volume that is meant, when it is known: not of one that was made anew under its name.
   */
  detach(
    caller: Caller,
    id: VolumeId,
    epoch: number,
    clean: boolean,
    createdAt?: string | undefined,
  ): Promise<void>;
  /** Records that the file system is made. @throws VolumeError `conflict` when the caller does not hold it. */
  formatted(caller: Caller, id: VolumeId, epoch: number): Promise<void>;
}

/** Attachments over the store and the datastores' backends. */
export function createAttachments(parts: ServiceParts): Attachments {
  const { store, clock, log } = parts;
  const leaving = createLeavingBehind(parts);
  const released = createReleasedVolumes(parts);

  const look = async (id: VolumeId): Promise<VolumeState> => {
    const volume = released.take(id);
    return volume ? { volume, attachment: undefined } : await readVolume(store, id);
  };

  const grantOf = async (
    caller: Caller,
    id: VolumeId,
    volume: VolumeRecord,
    epoch: number,
    clean: boolean,
  ) => {
    const location = await backendOf(parts, id).attach(diskOf(volume), caller.node, epoch);
    if (!volume.growing || (await growPromised(parts, volume)))
      return { record: volume, epoch, location, clean };
    // It can be used in the size that it has.
    const { growing: _later, ...record } = volume;
    return { record, epoch, location, clean };
  };

  /**
   * The attachment with an epoch that no other has, and the record that proves it, in one step.
   * @param extent where the disk is from now on; `undefined`: where it was.
   */
  const take = async (
    caller: Caller,
    id: VolumeId,
    request: Pick<AttachRequest, 'lease'>,
    { volume, attachment }: VolumeState,
    extent: string | undefined,
  ) => {
    if (!volume) throw unknownVolume(id);
    const record: VolumeRecord = {
      ...volume.value,
      epoch: volume.value.epoch + 1,
      ...(extent === undefined ? {} : { extent }),
    };
    const taken: Attachment = {
      v: 1,
      node: caller.node,
      host: caller.host,
      epoch: record.epoch,
      access: record.options.access,
      since: new Date(clock.now()).toISOString(),
    };
    const key = vdvsKeys.attachment(id);
    const { done } = await parts.gate
      .commitAttach(
        caller.node,
        id,
        [
          { key: vdvsKeys.volume(id), modRevision: volume.modRevision },
          attachment ? { key, modRevision: attachment.modRevision } : { key, is: 'absent' },
        ],
        [
          { put: vdvsKeys.volume(id), value: record },
          { put: key, value: taken, lease: request.lease },
        ],
      )
      .catch(async (thrown) => {
        const error = toVolumeError(thrown);
        // Any other failure may have done it all the same, and the new place be the disk by now: a sweep finds that out.
        const refused = ['denied', 'conflict', 'not_found'].includes(error.code);
        if (refused && extent !== undefined) await leaving.discard(id, extent);
        throw error;
      });
    if (!done) {
      if (extent !== undefined) await leaving.discard(id, extent);
      return undefined;
    }
    if (extent !== undefined) parts.failAt?.('takeover.recorded');
    log.info('attached', { volume: renderVolumeName(id), host: caller.host, epoch: record.epoch });
    const clean = volume.value.cleanEpoch === volume.value.epoch;
    return await grantOf(caller, id, record, record.epoch, clean);
  };

  /** Ends an attachment, on its holder's word; nothing happens when there is another one by now. */
  const end = async (
    holder: Caller,
    id: VolumeId,
    { epoch, clean, createdAt }: { epoch: number; clean: boolean; createdAt: string | undefined },
  ): Promise<void> => {
    for (;;) {
      const { volume, attachment } = await readVolume(store, id);
      const held = attachment?.value;
      if (!volume || !attachment || held?.node !== holder.node || held.epoch !== epoch) return;
      if (createdAt !== undefined && createdAt !== volume.value.createdAt) return;
      await backendOf(parts, id).detach(diskOf(volume.value), holder.node);
      const record: VolumeRecord = {
        ...volume.value,
        releasedEpoch: epoch,
        cleanEpoch: clean ? epoch : volume.value.cleanEpoch,
      };
      const { done, revision } = await store.txn(
        [
          { key: vdvsKeys.volume(id), modRevision: volume.modRevision },
          { key: vdvsKeys.attachment(id), modRevision: attachment.modRevision },
        ],
        [{ put: vdvsKeys.volume(id), value: record }, { delete: vdvsKeys.attachment(id) }],
      );
      if (!done) continue;
      released.put(id, { value: record, modRevision: revision, lease: undefined });
      log.info('detached', { volume: renderVolumeName(id), host: holder.host, epoch, clean });
      return;
    }
  };

  /** Waits for an end of this attachment, prepared for that its holder does not come back. */
  const waitFor = async (
    id: VolumeId,
    volume: VolumeRecord,
    held: Read<Attachment>,
    ms: number,
    signal: AbortSignal,
  ) => {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const { node, host, epoch } = held.value;
    const onReleased = () => end({ node, host }, id, { epoch, clean: false, createdAt: volume.createdAt });
    if (held.lease !== undefined) leaving.follow(id, volume, held.lease, either, onReleased);
    try {
      await waitForChange(store, vdvsKeys.attachment(id), held.modRevision + 1, ms, { clock, signal });
    } finally {
      over.abort();
    }
  };

  const requireReady = (id: VolumeId, volume: Read<VolumeRecord> | undefined): Read<VolumeRecord> => {
    if (!volume || volume.value.phase === 'deleting') throw unknownVolume(id);
    if (volume.value.phase === 'ready') return volume;
    throw new VolumeError('unavailable', `volume ${renderVolumeName(id)} is still being created`);
  };

  return {
    look,

    async attachFree(caller, id, request, state) {
      const { volume, attachment } = state;
      if (attachment || volume?.value.phase !== 'ready') return undefined;
      if (volume.value.releasedEpoch < volume.value.epoch) return undefined;
      return await take(caller, id, request, state, undefined).catch((thrown) => {
        // By the rules as they are now, which say what is meant.
        if (['denied', 'not_found'].includes(toVolumeError(thrown).code)) return undefined;
        throw thrown;
      });
    },

    async attach(caller, id, request, signal, early) {
      const until = clock.monotonic() + request.waitMs;
      let ahead = early;
      // Epoch of a holder that is gone without a word and whose last writes have had their time.
      let outwaited = 0;
      // Revision of a record that said so, and was looked at twice.
      let doubted = 0;
      for (;;) {
        signal.throwIfAborted();
        const state = ahead ?? (await look(id));
        ahead = undefined;
        const { value, modRevision } = requireReady(id, state.volume);
        const held = state.attachment;
        if (held?.value.node === caller.node && held.lease === request.lease) {
          // What was done since the first grant is not known here.
          return await grantOf(caller, id, value, held.value.epoch, false);
        }
        if (held && held.value.node !== caller.node) {
          const left = until - clock.monotonic();
          if (left <= 0) {
            throw new VolumeError(
              'busy',
              `volume ${renderVolumeName(id)} is attached to ${held.value.host} since ${held.value.since}`,
            );
          }
          await waitFor(id, value, held, left, signal);
          continue;
        }
        // The same node with another lease has ended what it did under the old one before it got the new one.
        const unclean = !held && value.releasedEpoch < value.epoch;
        // Record and attachment are read side by side: a holder may have given it back in between, as the record now says.
        if (unclean && doubted !== modRevision) {
          doubted = modRevision;
          continue;
        }
        // What is still on its way from the lost holder arrives at the old place.
        const left = unclean && outwaited !== value.epoch ? await leaving.place(id, value) : undefined;
        const extent = left?.extent;
        if (left?.mayWrite && extent === undefined) {
          log.info('waiting after the loss of the holder', {
            volume: renderVolumeName(id),
            epoch: value.epoch,
          });
          await clock.sleep(parts.takeoverMarginMs, signal);
          outwaited = value.epoch;
          continue;
        }
        if (extent !== undefined) parts.failAt?.('takeover.made');
        if (extent !== undefined && signal.aborted) await leaving.discard(id, extent);
        signal.throwIfAborted();
        const grant = await take(caller, id, request, state, extent);
        if (grant) return grant;
      }
    },

    detach: (caller, id, epoch, clean, createdAt) => end(caller, id, { epoch, clean, createdAt }),

    async formatted(caller, id, epoch) {
      for (;;) {
        const { volume, attachment } = await readVolume(store, id);
        const held = attachment?.value;
        if (!volume || !attachment || held?.node !== caller.node || held.epoch !== epoch) {
          throw new VolumeError('conflict', `volume ${renderVolumeName(id)} is not attached here any more`);
        }
        if (volume.value.formatted) return;
        const record: VolumeRecord = { ...volume.value, formatted: true };
        const { done } = await store.txn(
          [
            { key: vdvsKeys.volume(id), modRevision: volume.modRevision },
            { key: vdvsKeys.attachment(id), modRevision: attachment.modRevision },
          ],
          [{ put: vdvsKeys.volume(id), value: record }],
        );
        if (!done) continue;
        await updateNotes(parts, 'volume', record);
        return;
      }
    },
  };
}
