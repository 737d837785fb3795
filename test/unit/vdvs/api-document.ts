import { z } from 'zod';
import { version } from '../../../src/lib/version.ts';
import {
  accessRequestSchema,
  adminVolumesSchema,
  configSchema,
  groupCreateSchema,
  groupsSchema,
  groupUpdateSchema,
  membersSchema,
  policiesSchema,
  policyCreateSchema,
  policyUpdateSchema,
  statusSchema,
  volumeSetSchema,
} from '../../../src/vdvs/admin-api.ts';
import {
  attachRequestSchema,
  createRequestSchema,
  detachRequestSchema,
  doneSchema,
  errorBodySchema,
  formattedRequestSchema,
  grantSchema,
  selfSchema,
  volumeListSchema,
  volumeViewSchema,
} from '../../../src/vdvs/api.ts';

import {
  grownRequestSchema,
  resizeRequestSchema,
  scanReportSchema,
  scanRequestSchema,
  snapshotListSchema,
  snapshotRequestSchema,
  snapshotSchema,
  tasksRequestSchema,
  tasksSchema,
} from '../../../src/vdvs/disk-api.ts';

/** One route as it is documented. */
export interface DocumentedRoute {
  readonly what: string;
  readonly asks?: z.ZodType;
  readonly answers: z.ZodType;
  /** Parameters after the `?`. */
  readonly query?: Readonly<Record<string, string>>;
}

const one = '/v1/volumes/:datastore/:name';
const group = '/v1/admin/vmgroups/:vmgroup';
const done = { answers: doneSchema };
const ofAdmin = '/v1/admin/volumes/:datastore/:name';
const inGroup = { vmgroup: 'the vmgroup that the volume belongs to; default: `_DEFAULT`' };

/** Method and path of every route of the service, with what it does, takes and gives. */
export const documentedRoutes: Readonly<Record<string, DocumentedRoute>> = {
  'GET /v1/health': { what: 'Whether the service answers.', ...done },
  'GET /v1/self': { what: "The calling node's vmgroup and default datastore.", answers: selfSchema },
  'GET /v1/volumes': { what: "The volumes of the calling node's vmgroup.", answers: volumeListSchema },
  'POST /v1/volumes': {
    what: "Creates a volume in the name space of the calling node's vmgroup. Asked again with the same options it changes nothing.",
    asks: createRequestSchema,
    answers: volumeViewSchema,
  },
  [`GET ${one}`]: { what: 'One volume, with what it takes up.', answers: volumeViewSchema },
  [`DELETE ${one}`]: { what: 'Removes a volume that nobody has attached.', ...done },
  [`POST ${one}/attach`]: {
    what: 'Makes the calling node the one holder, on its lease; waits for another holder to let go.',
    asks: attachRequestSchema,
    answers: grantSchema,
  },
  [`POST ${one}/detach`]: { what: 'Gives an attachment back.', asks: detachRequestSchema, ...done },
  [`POST ${one}/formatted`]: { what: 'The file system is made.', asks: formattedRequestSchema, ...done },

  'GET /v1/admin/status': { what: 'The service at one look.', answers: statusSchema },
  'GET /v1/admin/volumes': {
    what: 'Volumes of all vmgroups.',
    answers: adminVolumesSchema,
    query: { vmgroup: 'only those of this vmgroup', usage: '`true`: with what each takes up' },
  },
  'POST /v1/admin/volumes/:datastore/:name': {
    what: 'Changes options of a volume; takes effect when it is attached next.',
    asks: volumeSetSchema,
    ...done,
  },
  [`POST ${one}/grown`]: { what: 'The file system has grown.', asks: grownRequestSchema, ...done },
  'POST /v1/tasks': {
    what: 'Volumes of the calling node whose file systems it has to grow; waits for there to be one.',
    asks: tasksRequestSchema,
    answers: tasksSchema,
  },
  [`POST ${ofAdmin}/resize`]: {
    what: 'Makes a volume larger, and waits a while for the host that has it; `record.growing`: its file system follows later.',
    asks: resizeRequestSchema,
    answers: volumeViewSchema,
    query: inGroup,
  },
  [`GET ${ofAdmin}/snapshots`]: {
    what: "A volume's snapshots.",
    answers: snapshotListSchema,
    query: inGroup,
  },
  [`POST ${ofAdmin}/snapshots`]: {
    what: 'Takes a snapshot of a volume that nobody has attached.',
    asks: snapshotRequestSchema,
    answers: snapshotSchema,
    query: inGroup,
  },
  'GET /v1/admin/snapshots': { what: 'All snapshots.', answers: snapshotListSchema },
  'DELETE /v1/admin/snapshots/:datastore/:name': { what: 'Removes a snapshot.', query: inGroup, ...done },
  'POST /v1/admin/datastores/:datastore/scan': {
    what: 'Compares a datastore with the records and makes those that were lost; takes over what is of others only with `adopt`.',
    asks: scanRequestSchema,
    answers: scanReportSchema,
  },
  'GET /v1/admin/vmgroups': { what: 'All vmgroups with their hosts and rights.', answers: groupsSchema },
  'POST /v1/admin/vmgroups': { what: 'Makes a vmgroup.', asks: groupCreateSchema, ...done },
  [`POST ${group}`]: { what: 'Changes a vmgroup.', asks: groupUpdateSchema, ...done },
  [`DELETE ${group}`]: {
    what: 'Removes a vmgroup.',
    query: { removeVolumes: '`true`: with its volumes and all data on them' },
    ...done,
  },
  [`POST ${group}/vms`]: {
    what: 'Changes the hosts of a vmgroup; one with volumes attached keeps its vmgroup.',
    asks: membersSchema,
    ...done,
  },
  [`POST ${group}/access/:datastore`]: {
    what: 'Gives rights on a datastore (`_VM_DS`: of the hosts, `_ALL_DS`: all that are not named), or changes them.',
    asks: accessRequestSchema,
    ...done,
  },
  [`DELETE ${group}/access/:datastore`]: { what: 'Takes rights on a datastore away.', ...done },
  'GET /v1/admin/policies': { what: 'All storage policies.', answers: policiesSchema },
  'POST /v1/admin/policies': { what: 'Makes a storage policy.', asks: policyCreateSchema, ...done },
  'POST /v1/admin/policies/:policy': { what: 'Changes a storage policy.', asks: policyUpdateSchema, ...done },
  'DELETE /v1/admin/policies/:policy': { what: 'Removes a storage policy that no volume has.', ...done },
  'GET /v1/admin/config': { what: 'Whether rules are set.', answers: configSchema },
  'POST /v1/admin/config': { what: 'Writes down the rules that hold without any.', ...done },
  'DELETE /v1/admin/config': { what: 'Takes all rules away.', ...done },
};

function schemaOf(schema: z.ZodType, io: 'input' | 'output') {
  const { $schema: _version, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}

function operation(key: string, { what, asks, answers, query = {} }: DocumentedRoute) {
  const path = key.split(' ')[1] ?? '';
  const json = (schema: unknown) => ({ content: { 'application/json': { schema } } });
  const text = { schema: { type: 'string' } };
  const parameters = [
    ...[...path.matchAll(/:(\w+)/g)].map(([, name]) => ({ name, in: 'path', required: true, ...text })),
    ...Object.entries(query).map(([name, description]) => ({ name, in: 'query', description, ...text })),
  ];
  return {
    summary: what,
    ...(path.includes('/admin/') ? { tags: ['administrator'] } : { tags: ['node'] }),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(asks ? { requestBody: { required: true, ...json(schemaOf(asks, 'input')) } } : {}),
    responses: {
      '200': { description: 'Done.', ...json(schemaOf(answers, 'output')) },
      default: { $ref: '#/components/responses/Refused' },
    },
  };
}

/** The whole document. */
export function renderApi() {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const [key, route] of Object.entries(documentedRoutes)) {
    const [method = '', path = ''] = key.split(' ');
    const at = path.replace(/:(\w+)/g, '{$1}');
    paths[at] = { ...paths[at], [method.toLowerCase()]: operation(key, route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'vDVS service',
      version,
      description:
        'HTTPS on port 8791 of every manager, each as good as the other. Both sides show the certificate that Swarm gave their node: the server is valid for the name `swarm-manager`, the caller is the node in its certificate (CN). What the administrator does needs the certificate of a manager (OU `swarm-manager`).',
    },
    tags: [
      {
        name: 'node',
        description: 'What the plugins of the nodes ask for; names are those of the node’s vmgroup.',
      },
      { name: 'administrator', description: 'What the command line `vdvs` asks for.' },
    ],
    paths,
    components: {
      responses: {
        Refused: {
          description:
            'Refused: `invalid` 400, `denied` 403, `not_found` 404, `exists` 409, `conflict` 412, `busy` 423, `internal` 500, `unavailable` 503, `timeout` 504, `no_space` 507.',
          content: { 'application/json': { schema: schemaOf(errorBodySchema, 'output') } },
        },
      },
    },
  };
}
