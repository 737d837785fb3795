import { VolumeError } from '../lib/errors.ts';
import {
  apiPrefix,
  doneSchema,
  type Grant,
  grantSchema,
  type Self,
  selfSchema,
  type VolumeView,
  volumeListSchema,
  volumeViewSchema,
} from './api.ts';
import type { RawOptions } from './options.ts';
import { callTimes, createServiceCaller, pathOf, type ServiceClientParts } from './service-caller.ts';
import type { VolumeId } from './types.ts';

/** The vDVS service as a node uses it. Every call says within its deadline what came of it. */
export interface ServiceClient {
  /** This node's vmgroup and default datastore. @throws VolumeError `denied` for a node that is locked out. */
  self(): Promise<Self>;
  create(id: VolumeId, options: RawOptions): Promise<VolumeView>;
  get(id: VolumeId): Promise<VolumeView | undefined>;
  list(): Promise<VolumeView[]>;
  remove(id: VolumeId): Promise<void>;
  /** Waits up to `waitMs` for another holder to let go. @throws VolumeError `busy` naming the holder. */
  attach(id: VolumeId, lease: string, waitMs: number): Promise<Grant>;
  /**
   * As `attach`, one question of a few seconds at most: a manager that dies while one waits there is noticed only after
   * `waitMs` and some patience. Whoever asks again at once is in time for a volume that gets free meanwhile.
   */
  attachOnce(id: VolumeId, lease: string, waitMs: number): Promise<Grant>;
  /** @param createdAt of the volume that is meant, where it is known: a late call must not take one of its name away. */
  detach(id: VolumeId, epoch: number, clean: boolean, createdAt?: string | undefined): Promise<void>;
  formatted(id: VolumeId, epoch: number): Promise<void>;
}

/**
 * ms: a create may copy a disk or write one; waiting for another holder is done in pieces; a datastore or an etcd that stays
 * out of reach is told to the user, who could not see why the mount hangs.
 */
const times = { ...callTimes, createDeadlineMs: 110_000, pollMs: 1_000, outageMs: 15_000 } as const;

/** A client over all managers. */
export function createServiceClient(parts: ServiceClientParts): ServiceClient {
  const { host, clock } = parts;
  const call = createServiceCaller(parts);

  const post = (id: VolumeId, action: string, body: unknown) =>
    call({ method: 'POST', path: pathOf(id, action), body, schema: doneSchema, ...times });

  const attachOnce = (id: VolumeId, lease: string, waitMs: number) =>
    call({
      method: 'POST',
      path: pathOf(id, 'attach'),
      body: { lease, host, waitMs: Math.round(waitMs) },
      schema: grantSchema,
      patienceMs: waitMs + times.patienceMs,
      deadlineMs: waitMs + times.deadlineMs,
    });

  return {
    attachOnce,
    self: () => call({ method: 'GET', path: `${apiPrefix}/self`, schema: selfSchema, ...times }),
    create: (id, options) =>
      call({
        method: 'POST',
        path: `${apiPrefix}/volumes`,
        body: { ...id, options, host },
        schema: volumeViewSchema,
        // Writing a thick disk takes its time: silence says nothing here.
        patienceMs: 5_000,
        deadlineMs: times.createDeadlineMs,
      }),
    async get(id) {
      try {
        return await call({ method: 'GET', path: pathOf(id), schema: volumeViewSchema, ...times });
      } catch (thrown) {
        if (thrown instanceof VolumeError && thrown.code === 'not_found') return undefined;
        throw thrown;
      }
    },
    async list() {
      return (await call({ method: 'GET', path: `${apiPrefix}/volumes`, schema: volumeListSchema, ...times }))
        .volumes;
    },
    async remove(id) {
      await call({
        method: 'DELETE',
        path: pathOf(id),
        schema: doneSchema,
        ...times,
        doneBefore: 'not_found',
      });
    },
    async attach(id, lease, waitMs) {
      // In short pieces: a manager that dies while one waits there is noticed within a piece and its patience.
      let outOfReachSince: number | undefined;
      for (const until = clock.monotonic() + waitMs; ; ) {
        const piece = Math.max(0, Math.min(times.pollMs, until - clock.monotonic()));
        try {
          return await attachOnce(id, lease, piece);
        } catch (thrown) {
          const retry = thrown instanceof VolumeError && ['busy', 'unavailable'].includes(thrown.code);
          const now = clock.monotonic();
          if (!retry || now >= until) throw thrown;
          outOfReachSince = thrown.code === 'unavailable' ? (outOfReachSince ?? now) : undefined;
          if (outOfReachSince === undefined) continue;
          if (now - outOfReachSince >= times.outageMs) throw thrown;
          await clock.sleep(200);
        }
      }
    },
    detach: async (id, epoch, clean, createdAt) =>
      void (await post(id, 'detach', { epoch, clean, createdAt })),
    formatted: async (id, epoch) => void (await post(id, 'formatted', { epoch })),
  };
}
