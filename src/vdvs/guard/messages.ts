import { z } from 'zod';

const mount = { mountpoint: z.string(), device: z.string() };

/** From the main process to the guard. Requests carry a number that the answer repeats. */
export const toGuardSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('protect'), seq: z.number(), ...mount, lease: z.string() }),
  z.object({ type: z.literal('release'), seq: z.number(), mountpoint: z.string() }),
  z.object({ type: z.literal('shutdown'), seq: z.number(), ...mount }),
  /** Addresses of the managers (`host:port` of etcd), as the engine tells them. */
  z.object({ type: z.literal('endpoints'), endpoints: z.array(z.string()) }),
  /** All volumes are closed: the guard may end. */
  z.object({ type: z.literal('stopped') }),
]);
export type ToGuard = z.infer<typeof toGuardSchema>;

/** From the guard to the main process. */
export const fromGuardSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('answer'), seq: z.number(), ok: z.boolean(), error: z.string().optional() }),
  /** The node's lease now; `kept` at the start when it is the one of an earlier life. */
  z.object({ type: z.literal('lease'), lease: z.string(), kept: z.boolean() }),
  /** There is no lease (any more); file systems that were protected are shut down. */
  z.object({ type: z.literal('fenced'), reason: z.string() }),
  /** Why there is no lease, for users. */
  z.object({ type: z.literal('waiting'), reason: z.string() }),
  /** Close all volumes, then say `stopped`. */
  z.object({ type: z.literal('stop') }),
]);
export type FromGuard = z.infer<typeof fromGuardSchema>;
