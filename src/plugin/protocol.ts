import { z } from 'zod';

/** What this plugin answers with; engines that ask for 1.0 or 1.1 read it as well. */
export const protocolContentType = 'application/vnd.docker.plugins.v1.2+json';

/** Whether the volumes of a driver exist once in the Swarm (`global`) or once on each node (`local`). */
export type Scope = 'global' | 'local';

const name = z.string().min(1);
// The engine writes null where a map is empty.
const options = z
  .record(z.string(), z.string())
  .nullish()
  .transform((given) => given ?? {});

/** Bodies of the calls that carry one. */
export const requestSchemas = {
  Create: z.object({ Name: name, Opts: options }),
  Mount: z.object({ Name: name, ID: z.string().min(1) }),
  Unmount: z.object({ Name: name, ID: z.string().min(1) }),
  Remove: z.object({ Name: name }),
  Path: z.object({ Name: name }),
  Get: z.object({ Name: name }),
} as const;

/** Calls that act on one volume. */
export type NamedCall = keyof typeof requestSchemas;

/** All volume calls that need the driver. */
export type VolumeCall = NamedCall | 'List';

/**
 * ms until this plugin answers by itself. The engine hangs up after 120 s (Create, Mount) or 60 s: a reason that
 * arrives later is never read, so all of these stay below.
 */
export const callDeadlines: Readonly<Record<VolumeCall, number>> = Object.freeze({
  Create: 115_000,
  Mount: 115_000,
  Unmount: 55_000,
  Remove: 55_000,
  Path: 55_000,
  List: 55_000,
  Get: 50_000,
});

/** ms that a call waits for the driver to be attached after the start. Part of the call's own deadline. */
export const readinessDeadlines: Readonly<Record<VolumeCall, number>> = Object.freeze({
  Create: 60_000,
  Mount: 60_000,
  Unmount: 50_000,
  Remove: 30_000,
  Path: 30_000,
  List: 10_000,
  Get: 50_000,
});
