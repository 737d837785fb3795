import { z } from 'zod';
import { volumeViewSchema } from './api.ts';
import { accessSchema } from './rules/types.ts';

/** Version prefix of the administrator's routes; only managers' certificates get through. */
export const adminPrefix = '/v1/admin';

/** A volume as the administrator sees it: with the group that it belongs to. */
export const adminVolumeSchema = volumeViewSchema.extend({
  /** `*` for a volume below one of vFile's, which every host can open. */
  vmgroup: z.string(),
});
export type AdminVolume = z.infer<typeof adminVolumeSchema>;
export const adminVolumesSchema = z.object({ volumes: z.array(adminVolumeSchema) });

/** `POST /v1/admin/volumes/:datastore/:name`: what changes of a volume; takes effect at the next attach. */
export const volumeSetSchema = z.object({
  vmgroup: z.string(),
  /** `access`, `attach-as`. */
  options: z.record(z.string(), z.string()),
});

/** A group with its hosts. */
export const groupViewSchema = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  defaultDatastore: z.string(),
  access: z.record(z.string(), accessSchema),
  hosts: z.array(z.object({ id: z.string(), host: z.string() })),
});
export type GroupView = z.infer<typeof groupViewSchema>;
export const groupsSchema = z.object({ vmgroups: z.array(groupViewSchema) });

/** `POST /v1/admin/vmgroups`; hosts by host name or node ID. */
export const groupCreateSchema = z.object({
  name: z.string(),
  description: z.string().default(''),
  defaultDatastore: z.string(),
  hosts: z.array(z.string()).default([]),
  /** That of an earlier group whose volumes are there still, after the loss of the store; else a new one is made. */
  id: z
    .string()
    .regex(/^[0-9a-f]{8}$/, 'eight digits and letters from a to f')
    .optional(),
});

/** `POST /v1/admin/vmgroups/:vmgroup`. */
export const groupUpdateSchema = z.object({
  newName: z.string().optional(),
  description: z.string().optional(),
  defaultDatastore: z.string().optional(),
});

/** `POST /v1/admin/vmgroups/:vmgroup/vms`. */
export const membersSchema = z.object({
  change: z.enum(['add', 'rm', 'replace']),
  hosts: z.array(z.string()),
});

/** `POST /v1/admin/vmgroups/:vmgroup/access/:datastore`; sizes as users write them, or `unlimited`. */
export const accessRequestSchema = z.object({
  change: z.enum(['add', 'set']),
  allowCreate: z.boolean().optional(),
  maxSize: z.string().optional(),
  totalSize: z.string().optional(),
});

/** `POST /v1/admin/policies`. */
export const policyCreateSchema = z.object({ name: z.string(), content: z.string() });
/** `POST /v1/admin/policies/:policy`. */
export const policyUpdateSchema = z.object({ content: z.string() });
export const policiesSchema = z.object({
  policies: z.array(z.object({ name: z.string(), content: z.string(), volumes: z.number().int() })),
});
export type PolicyView = z.infer<typeof policiesSchema>['policies'][number];

/** `GET /v1/admin/config`. */
export const configSchema = z.object({
  /** Whether rules are set; without them everybody may do everything. */
  configured: z.boolean(),
  /** Where they are. */
  location: z.string(),
  vmgroups: z.number().int(),
  policies: z.number().int(),
});

/** `GET /v1/admin/status`. */
export const statusSchema = z.object({
  version: z.string(),
  /** The manager that answers. */
  node: z.string(),
  datastores: z.array(z.object({ name: z.string(), volumes: z.number().int(), sizeBytes: z.number() })),
  volumes: z.number().int(),
  attached: z.number().int(),
  config: configSchema,
});
export type ServiceStatus = z.infer<typeof statusSchema>;
