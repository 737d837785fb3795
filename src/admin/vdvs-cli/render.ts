import Table from 'cli-table3';
import type { z } from 'zod';
import type {
  AdminVolume,
  configSchema,
  GroupView,
  PolicyView,
  ServiceStatus,
} from '../../vdvs/admin-api.ts';
import type { Access } from '../../vdvs/rules/types.ts';
import { pairs, plain, showBytes } from '../cli/render.ts';

/** A table without lines. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const made = new Table({ ...plain, head: [...head] });
  made.push(...rows.map((row) => [...row]));
  return made.toString();
}

const limit = (bytes: number | undefined) => (bytes === undefined ? 'unlimited' : showBytes(bytes));

/** All columns that users of `volume ls` know. */
export function renderVolumes(volumes: readonly AdminVolume[]): string {
  const head = [
    ...['Volume', 'Datastore', 'VMGroup', 'Capacity', 'Used', 'Filesystem', 'Policy', 'Disk Format'],
    ...['Attached-to', 'Access', 'Attach-as', 'Created By', 'Created Date'],
  ];
  return table(
    head,
    volumes.map(({ record, vmgroup, attached, allocatedBytes }) => [
      record.name,
      record.datastore,
      vmgroup,
      showBytes(record.options.sizeBytes),
      allocatedBytes === undefined ? 'unknown' : showBytes(allocatedBytes),
      record.options.fstype,
      record.options.policy ?? 'N/A',
      record.options.diskformat,
      attached?.host ?? 'detached',
      record.options.access,
      record.options.attachAs,
      record.createdBy,
      record.createdAt,
    ]),
  );
}

/** Names, and who has them. */
export function renderShortVolumes(volumes: readonly AdminVolume[]): string {
  return table(
    ['Volume', 'Datastore', 'VMGroup', 'Attached-to'],
    volumes.map(({ record, vmgroup, attached }) => [
      record.name,
      record.datastore,
      vmgroup,
      attached?.host ?? 'detached',
    ]),
  );
}

/** All groups. */
export function renderGroups(groups: readonly GroupView[]): string {
  return table(
    ['Name', 'ID', 'Description', 'Default datastore', 'Hosts'],
    groups.map(({ name, id, description, defaultDatastore, hosts }) => [
      name,
      id,
      description,
      defaultDatastore,
      hosts.map(({ host }) => host).join(', '),
    ]),
  );
}

/** A group's hosts. */
export function renderHosts(hosts: GroupView['hosts']): string {
  return table(
    ['Host', 'Node ID'],
    hosts.map(({ host, id }) => [host, id]),
  );
}

/** A group's rights. */
export function renderAccess(access: Readonly<Record<string, Access>>): string {
  return table(
    ['Datastore', 'Allow create', 'Max volume size', 'Total size'],
    Object.entries(access).map(([datastore, { allowCreate, maxSizeBytes, totalSizeBytes }]) => [
      datastore,
      String(allowCreate),
      limit(maxSizeBytes),
      limit(totalSizeBytes),
    ]),
  );
}

/** All policies. */
export function renderPolicies(policies: readonly PolicyView[]): string {
  return table(
    ['Policy', 'Content', 'Volumes'],
    policies.map(({ name, content, volumes }) => [name, content, String(volumes)]),
  );
}

/** Whether rules are set. */
export function renderConfig(config: z.infer<typeof configSchema>): string {
  return pairs([
    ['Rules', config.configured ? 'set' : 'none: every host may do everything'],
    ['Location', config.location],
    ['VMGroups', String(config.vmgroups)],
    ['Policies', String(config.policies)],
  ]);
}

/** The service at one look. */
export function renderStatus(status: ServiceStatus): string {
  const summary = pairs([
    ['Version', status.version],
    ['Answers', status.node],
    ['Volumes', `${status.volumes}, ${status.attached} attached`],
  ]);
  const datastores = table(
    ['Datastore', 'Volumes', 'Their size'],
    status.datastores.map(({ name, volumes, sizeBytes }) => [name, String(volumes), showBytes(sizeBytes)]),
  );
  return `${summary}\n${renderConfig(status.config)}\n\n${datastores}`;
}
