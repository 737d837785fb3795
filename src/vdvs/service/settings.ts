import { z } from 'zod';
import { common, commonSettings, type Environment, readEnvironment, whole } from '../settings.ts';

const schema = z.object({
  ...common,
  VDVS_LISTEN: z.string().default('0.0.0.0'),
  VDVS_TAKEOVER_MARGIN_MS: whole(0, 60_000).default(500),
  /** Together with the rest of an attach less than a node waits for its answer: else it would ask again and again. */
  VDVS_LEAVE_BEHIND_MS: whole(0, 8_000).default(2_000),
});

/** Settings of the vDVS service. @throws VolumeError `invalid` listing all problems at once. */
export function readServiceSettings(env: Environment) {
  const s = readEnvironment(schema, env);
  return Object.freeze({
    ...commonSettings(s),
    listen: s.VDVS_LISTEN,
    /** How long a volume whose holder was lost waits beyond the holder's lease: for writes on their way. */
    takeoverMarginMs: s.VDVS_TAKEOVER_MARGIN_MS,
    /** How long a disk may be copied away from a lost holder, where the datastore cannot share blocks; 0: never. */
    leaveBehindMs: s.VDVS_LEAVE_BEHIND_MS,
  });
}
