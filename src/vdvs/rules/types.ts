import { z } from 'zod';

/** What a group may do on one datastore; sizes in bytes, without one there is no limit. */
export const accessSchema = z.object({
  allowCreate: z.boolean(),
  /** Largest volume. */
  maxSizeBytes: z.number().int().positive().optional(),
  /** Sum of the sizes of all its volumes and snapshots on the datastore. */
  totalSizeBytes: z.number().int().positive().optional(),
});
export type Access = z.infer<typeof accessSchema>;

/** A vmgroup: a tenant, with a name space of its own. */
export const groupSchema = z.object({
  /** Part of the names of its volumes; stays when the group is renamed. */
  id: z.string(),
  name: z.string(),
  description: z.string(),
  /** Of volumes that are named without one; may be `_VM_DS`. */
  defaultDatastore: z.string(),
  /** By datastore, `_VM_DS` or `_ALL_DS`. */
  access: z.record(z.string(), accessSchema),
});
export type Group = z.infer<typeof groupSchema>;

/**
 * `/vdvs/rules/document`: all rules in one value, so that one comparison tells whether any of them changed. Some hundred
 * nodes and groups make it some ten kilobytes.
 */
export const rulesSchema = z.object({
  v: z.literal(1),
  groups: z.array(groupSchema),
  /** The nodes that are in a group by name; all others are in `_DEFAULT`. By node ID. */
  members: z.record(z.string(), z.object({ group: z.string(), host: z.string() })),
  /** Storage policies by name. */
  policies: z.record(z.string(), z.object({ content: z.string() })),
});
export type Rules = z.infer<typeof rulesSchema>;

/** Name and ID of the group of all nodes that are in no other. */
export const defaultGroup = '_DEFAULT';
/** The datastore that the host itself lives on. */
export const hostDatastoreName = '_VM_DS';
/** Every datastore that is not named. */
export const allDatastores = '_ALL_DS';

/** What holds while nobody has set anything: everybody may do everything, in one name space. */
export const noRules: Rules = Object.freeze({
  v: 1,
  groups: [
    {
      id: defaultGroup,
      name: defaultGroup,
      description: 'all hosts that are in no other vmgroup',
      defaultDatastore: hostDatastoreName,
      access: { [allDatastores]: { allowCreate: true } },
    },
  ],
  members: {},
  policies: {},
});
