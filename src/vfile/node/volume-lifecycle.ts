import type { Mirror } from '../../etcd/mirror.ts';
import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { type CreateParts, createVolume } from '../create-volume.ts';
import { vfileKeys } from '../keys.ts';
import type { GivenOptions } from '../options.ts';
import { parseRecord } from '../read-volume.ts';
import { removeVolume } from '../remove-volume.ts';
import { type VolumeSpec, volumeSpecSchema } from '../types.ts';
import type { VolumeView } from './volume-view.ts';

/** Creates and removes volumes, waiting until the manager has done what that takes. */
export interface VolumeLifecycle {
  /** Success when the volume is there, its base volume too. A volume whose base volume cannot be made is taken away. */
  create(name: string, options: GivenOptions): Promise<void>;
  /** Success when the volume is gone. */
  remove(name: string): Promise<void>;
}

/** Time limits in ms, each below Docker's for the call. */
export interface LifecycleTimes {
  /** Create, until it gives up; undoing comes on top. */
  readonly createMs: number;
  /** How long to wait until what was undone is gone. */
  readonly undoMs: number;
  readonly removeMs: number;
}

/** When the store and the mirror disagree for a moment. */
const pauseMs = 100;

/** Lifecycle through the store; the mirror tells what the manager does. */
export function createVolumeLifecycle(parts: {
  store: Store;
  mirror: Mirror;
  view: VolumeView;
  clock: Clock;
  log: Log;
  settings: CreateParts['settings'];
  nodeId: string;
  /** Why waiting may be in vain, beyond the status; asked only when giving up. */
  explain: () => Promise<string>;
  times: LifecycleTimes;
}): VolumeLifecycle {
  const { store, mirror, view, clock, log, settings, nodeId, explain, times } = parts;

  const readSpec = async (name: string) =>
    parseRecord(volumeSpecSchema, await store.get(vfileKeys.spec(name)));

  const same = (a: VolumeSpec | undefined, b: VolumeSpec): boolean =>
    a?.createdAt === b.createdAt && a.createdBy === b.createdBy;

  const said = (name: string): string => {
    if (!mirror.synced) return `etcd is out of reach: ${mirror.problem ?? 'unknown'}`;
    const status = view.status(name);
    if (!status) return 'no manager has looked at it yet';
    return `${status.state}${status.reason ? `: ${status.reason}` : ''}`;
  };

  /** Adds to a passed deadline what may be behind it. */
  const explained = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (thrown) {
      const error = toVolumeError(thrown);
      const more = error.code === 'timeout' ? await explain().catch(() => '') : '';
      throw more === '' ? error : new VolumeError('timeout', `${error.message}; ${more}`, { cause: error });
    }
  };

  /** Writes the spec, or agrees with the one there; waits while a volume of that name is being removed. */
  const write = async (name: string, options: GivenOptions, left: () => number) => {
    for (;;) {
      try {
        return await createVolume({ store, clock, settings, node: nodeId }, name, options);
      } catch (thrown) {
        const error = toVolumeError(thrown);
        if (error.code !== 'busy' || left() <= pauseMs) throw error;
        const timeoutMs = left();
        await mirror
          .waitFor(() => (view.spec(name)?.deleting ? undefined : true), {
            timeoutMs,
            describe: () => error.message,
          })
          .catch((late) => {
            throw new VolumeError('timeout', `${toVolumeError(late).message} (${said(name)})`);
          });
        await clock.sleep(Math.min(pauseMs, left()));
      }
    }
  };

  /** @returns why the base volume could not be made; `undefined` when it is there. */
  const baseReady = async (spec: VolumeSpec, timeoutMs: number): Promise<string | undefined> => {
    const { name } = spec;
    let seen = false;
    let reason = '';
    const outcome = await mirror.waitFor<{ failure?: string }>(
      () => {
        const now = view.spec(name);
        // What the mirror shows before it has this very spec belongs to an earlier volume of the name.
        if (!same(now, spec)) return seen ? { failure: reason || 'it was removed meanwhile' } : undefined;
        seen = true;
        const status = view.status(name);
        if (status?.baseReady) return {};
        if (status?.state === 'Error') return { failure: status.reason };
        if (now?.deleting) return { failure: status?.reason || 'it is being removed' };
        reason = status?.reason ?? reason;
        return undefined;
      },
      {
        timeoutMs,
        describe: () =>
          `volume ${name} was not ready after ${Math.round(timeoutMs / 1000)} s (${said(name)})`,
      },
    );
    return outcome.failure;
  };

  /** Takes away the volume that this call made, and no other of the name. Never throws. */
  const undo = async (spec: VolumeSpec): Promise<void> => {
    const { name } = spec;
    const key = vfileKeys.spec(name);
    try {
      for (;;) {
        const now = await readSpec(name);
        if (!now || !same(now.value, spec)) return;
        if (now.value.deleting) break;
        // The manager removes what has the mark and no mount; a mount that was first, it keeps and says so.
        const deleting = new Date(clock.now()).toISOString();
        const { done } = await store.txn(
          [{ key, modRevision: now.modRevision }],
          [{ put: key, value: { ...now.value, deleting } }],
        );
        if (done) break;
      }
      await gone(spec, times.undoMs);
    } catch (thrown) {
      log.warn('a volume that could not be made is not gone yet', {
        volume: name,
        error: toVolumeError(thrown).message,
      });
    }
  };

  /** Waits until a marked volume is gone. @throws VolumeError `busy` when the mark was taken off, `timeout`. */
  const gone = async (spec: VolumeSpec, timeoutMs: number): Promise<void> => {
    const until = clock.monotonic() + timeoutMs;
    const { name } = spec;
    let marked = false;
    const look = (): 'gone' | 'kept' | undefined => {
      const now = view.spec(name);
      if (!same(now, spec)) return 'gone';
      if (now?.deleting) marked = true;
      return marked && !now?.deleting ? 'kept' : undefined;
    };
    for (;;) {
      const outcome = await mirror.waitFor(look, {
        timeoutMs: Math.max(0, until - clock.monotonic()),
        describe: () =>
          `volume ${name} was not gone after ${Math.round(timeoutMs / 1000)} s; its removal goes on (${said(name)})`,
      });
      if (outcome === 'kept') {
        throw new VolumeError('busy', `volume ${name} is in use: it was mounted at the same moment`);
      }
      // A mirror that is behind does not show a volume that has only just been made.
      const now = await readSpec(name);
      if (!now || !same(now.value, spec)) return;
      await clock.sleep(pauseMs);
    }
  };

  return {
    async create(name, options) {
      const until = clock.monotonic() + times.createMs;
      const left = () => Math.max(0, until - clock.monotonic());
      const { spec, created } = await write(name, options, left);
      let failure: string | undefined;
      try {
        failure = await explained(baseReady(spec, left()));
      } catch (thrown) {
        // Nobody was told that the volume exists, so it must not come to exist later.
        if (created) await undo(spec);
        throw thrown;
      }
      if (failure === undefined) return;
      if (created) await undo(spec);
      throw new VolumeError('unavailable', `volume ${name} could not be created: ${failure}`);
    },

    async remove(name) {
      const spec = (await readSpec(name))?.value;
      await removeVolume({ store, clock }, name);
      if (spec) await explained(gone(spec, times.removeMs));
    },
  };
}
