import type { z } from 'zod';
import type { Clock } from '../../lib/clock.ts';
import { isErrorCode, VolumeError } from '../../lib/errors.ts';
import {
  type accessRequestSchema,
  adminPrefix,
  adminVolumesSchema,
  configSchema,
  type groupCreateSchema,
  groupsSchema,
  type groupUpdateSchema,
  type membersSchema,
  policiesSchema,
  statusSchema,
} from '../../vdvs/admin-api.ts';
import { doneSchema, errorBodySchema } from '../../vdvs/api.ts';
import { createDiskAdminClient, type DiskAdminClient } from '../../vdvs/disk-clients.ts';
import type { HttpsJson, JsonRequest } from '../../vdvs/https-json.ts';

/** What a caller of a route may leave to its default. */
type Asked<T extends z.ZodType> = z.input<T>;

/** The administrator's part of the vDVS service's API. All calls: VolumeError as the service says, or `unavailable`. */
export interface VdvsAdminClient {
  status(): Promise<z.infer<typeof statusSchema>>;
  volumes(
    vmgroup: string | undefined,
    usage: boolean,
  ): Promise<z.infer<typeof adminVolumesSchema>['volumes']>;
  setVolume(
    volume: { datastore: string; name: string },
    vmgroup: string,
    options: Record<string, string>,
  ): Promise<void>;
  groups(): Promise<z.infer<typeof groupsSchema>['vmgroups']>;
  createGroup(asked: Asked<typeof groupCreateSchema>): Promise<void>;
  updateGroup(name: string, asked: Asked<typeof groupUpdateSchema>): Promise<void>;
  removeGroup(name: string, removeVolumes: boolean): Promise<void>;
  changeMembers(name: string, asked: Asked<typeof membersSchema>): Promise<void>;
  changeAccess(name: string, datastore: string, asked: Asked<typeof accessRequestSchema>): Promise<void>;
  removeAccess(name: string, datastore: string): Promise<void>;
  policies(): Promise<z.infer<typeof policiesSchema>['policies']>;
  createPolicy(name: string, content: string): Promise<void>;
  updatePolicy(name: string, content: string): Promise<void>;
  removePolicy(name: string): Promise<void>;
  config(): Promise<z.infer<typeof configSchema>>;
  initConfig(): Promise<void>;
  removeConfig(): Promise<void>;
  /** Growth, snapshots, scans. */
  readonly disks: DiskAdminClient;
}

/** Where the service is and how long to wait for it, in ms. */
export interface VdvsAdminClientOptions {
  readonly https: HttpsJson;
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** Host name of who asks, for people. */
  readonly asker: string;
  readonly clock: Clock;
}

/** A client of one manager's vDVS service. */
export function createVdvsAdminClient({
  https,
  host,
  port,
  timeoutMs,
  asker,
  clock,
}: VdvsAdminClientOptions): VdvsAdminClient {
  const ask = async <T>(
    method: JsonRequest['method'],
    path: string,
    schema: z.ZodType<T>,
    body?: unknown,
  ): Promise<T> => {
    const signal = AbortSignal.timeout(timeoutMs);
    const answer = await https.send({ host, port, method, path: `${adminPrefix}${path}`, body, signal });
    const refused = errorBodySchema.safeParse(answer.body);
    if (answer.status !== 200) {
      const { code, message } = refused.success ? refused.data : { code: '', message: '' };
      if (isErrorCode(code)) throw new VolumeError(code, message);
      throw new VolumeError('internal', `the vDVS service answered with status ${answer.status}`);
    }
    const parsed = schema.safeParse(answer.body);
    if (parsed.success) return parsed.data;
    throw new VolumeError('internal', 'the vDVS service answered in a form that this version does not know');
  };
  const part = encodeURIComponent;
  const post = async (path: string, body: unknown): Promise<void> =>
    void (await ask('POST', path, doneSchema, body));
  const remove = async (path: string): Promise<void> => void (await ask('DELETE', path, doneSchema));
  const group = (name: string) => `/vmgroups/${part(name)}`;
  const access = (name: string, datastore: string) => `${group(name)}/access/${part(datastore)}`;

  return {
    status: () => ask('GET', '/status', statusSchema),
    async volumes(vmgroup, usage) {
      const query = new URLSearchParams({
        ...(vmgroup === undefined ? {} : { vmgroup }),
        ...(usage ? { usage: 'true' } : {}),
      });
      return (await ask('GET', `/volumes?${query}`, adminVolumesSchema)).volumes;
    },
    setVolume: ({ datastore, name }, vmgroup, options) =>
      post(`/volumes/${part(datastore)}/${part(name)}`, { vmgroup, options }),
    groups: async () => (await ask('GET', '/vmgroups', groupsSchema)).vmgroups,
    createGroup: (asked) => post('/vmgroups', asked),
    updateGroup: (name, asked) => post(group(name), asked),
    removeGroup: (name, removeVolumes) => remove(`${group(name)}?removeVolumes=${removeVolumes}`),
    changeMembers: (name, asked) => post(`${group(name)}/vms`, asked),
    changeAccess: (name, datastore, asked) => post(access(name, datastore), asked),
    removeAccess: (name, datastore) => remove(access(name, datastore)),
    policies: async () => (await ask('GET', '/policies', policiesSchema)).policies,
    createPolicy: (name, content) => post('/policies', { name, content }),
    updatePolicy: (name, content) => post(`/policies/${part(name)}`, { content }),
    removePolicy: (name) => remove(`/policies/${part(name)}`),
    config: () => ask('GET', '/config', configSchema),
    initConfig: () => post('/config', {}),
    removeConfig: () => remove('/config'),
    disks: createDiskAdminClient({ https, endpoints: async () => [{ host, port }], host: asker, clock }),
  };
}
