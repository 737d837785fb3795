import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type {
  accessRequestSchema,
  GroupView,
  groupCreateSchema,
  groupUpdateSchema,
  membersSchema,
} from '../admin-api.ts';
import { addAccess, removeAccess, setAccess } from '../rules/access-changes.ts';
import { changeRules } from '../rules/change-rules.ts';
import {
  changeMembers,
  createGroup,
  findGroup,
  type NamedNode,
  removeGroup,
  updateGroup,
} from '../rules/group-changes.ts';
import { groupOfName } from '../rules/group-names.ts';
import { readRules } from '../rules/read-rules.ts';
import { defaultGroup, type Rules } from '../rules/types.ts';
import type { VolumeId } from '../types.ts';
import { refuseMoves } from './moving-nodes.ts';
import { readVolumes } from './records.ts';

/** What the administrator's operations need. */
export interface AdminParts {
  readonly store: Store;
  /** Names of the datastores. */
  readonly datastores: readonly string[];
  /** The nodes of the Swarm, with their host names. */
  readonly nodes: () => Promise<readonly NamedNode[]>;
  /** Removes a volume with its snapshots; a removal that another one began is gone on with. */
  readonly removeVolume: (id: VolumeId) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The administrator's work on vmgroups. */
export interface AdminGroups {
  list(): Promise<GroupView[]>;
  create(asked: z.infer<typeof groupCreateSchema>): Promise<void>;
  update(name: string, asked: z.infer<typeof groupUpdateSchema>): Promise<void>;
  /** @throws VolumeError `busy` while it has volumes, unless they are to be removed, or its hosts have volumes attached. */
  remove(name: string, removeVolumes: boolean): Promise<void>;
  /** @throws VolumeError `busy` when a host that would change its group has volumes attached. */
  changeMembers(name: string, asked: z.infer<typeof membersSchema>): Promise<void>;
  changeAccess(name: string, datastore: string, asked: z.infer<typeof accessRequestSchema>): Promise<void>;
  removeAccess(name: string, datastore: string): Promise<void>;
}

/** Nodes by host name or ID. @throws VolumeError `not_found`, `conflict` for a host name that several have. */
export function resolveHosts(named: readonly string[], nodes: readonly NamedNode[]): NamedNode[] {
  const found = named.map((text) => {
    const same = nodes.filter((node) => node.id === text);
    const matches = same.length > 0 ? same : nodes.filter((node) => node.host === text);
    const [match] = matches;
    if (!match) {
      const there = nodes.map((node) => node.host).join(', ');
      throw new VolumeError('not_found', `host ${text} is not in the Swarm; there are: ${there}`);
    }
    if (matches.length > 1) {
      const ids = matches.map((node) => node.id).join(', ');
      throw new VolumeError('conflict', `several nodes are named ${text}; use one of their IDs: ${ids}`);
    }
    return match;
  });
  return [...new Map(found.map((node) => [node.id, node])).values()];
}

/** Groups over the rules in the store. */
export function createAdminGroups(parts: AdminParts): AdminGroups {
  const { store, datastores, log } = parts;

  /** Changes the rules unless a host with volumes would change its group. */
  const change = async (what: string, apply: (rules: Rules) => Rules): Promise<void> => {
    await changeRules(parts, async ({ rules }) => {
      const next = apply(rules);
      await refuseMoves(store, rules, next);
      return next;
    });
    log.info('rules changed', { what });
  };

  /** Hosts to take out may be gone from the Swarm: then what was known of them when they were put in counts. */
  const nodesFor = async (asked: z.infer<typeof membersSchema>): Promise<NamedNode[]> => {
    const nodes = await parts.nodes();
    if (asked.change !== 'rm') return resolveHosts(asked.hosts, nodes);
    const { members } = (await readRules(store)).rules;
    const past = Object.entries(members)
      .map(([id, { host }]) => ({ id, host }))
      .filter(({ id }) => !nodes.some((node) => node.id === id));
    return resolveHosts(asked.hosts, [...nodes, ...past]);
  };

  const volumesOf = async (id: string): Promise<VolumeId[]> =>
    (await readVolumes(store)).map((one) => one.id).filter(({ name }) => groupOfName(name) === id);

  return {
    async list() {
      const { rules } = await readRules(store);
      return rules.groups.map((group) => ({
        ...group,
        hosts: Object.entries(rules.members)
          .filter(([, member]) => member.group === group.id)
          .map(([id, { host }]) => ({ id, host })),
      }));
    },

    async create({ name, description, defaultDatastore, hosts, id = randomBytes(4).toString('hex') }) {
      const nodes = hosts.length > 0 ? resolveHosts(hosts, await parts.nodes()) : [];
      await change(`vmgroup ${name} created`, (rules) => {
        const created = createGroup(rules, { id, name, description, defaultDatastore }, datastores);
        return nodes.length > 0 ? changeMembers(created, name, 'add', nodes) : created;
      });
    },

    async update(name, asked) {
      await change(`vmgroup ${name} updated`, (rules) => updateGroup(rules, name, asked, datastores));
    },

    async remove(name, removeVolumes) {
      const { id } = findGroup((await readRules(store)).rules, name);
      if (removeVolumes) {
        for (const volume of await volumesOf(id)) await parts.removeVolume(volume);
      }
      await changeRules(parts, async ({ rules }) => {
        const next = removeGroup(rules, name);
        await refuseMoves(store, rules, next);
        // Those of `_DEFAULT` stay and are there again when it is.
        const left = id === defaultGroup ? [] : await volumesOf(id);
        if (left.length > 0) {
          throw new VolumeError(
            'busy',
            `vmgroup ${name} has ${left.length} volume(s): remove them with it, or first`,
          );
        }
        return next;
      });
      log.info('rules changed', { what: `vmgroup ${name} removed` });
    },

    async changeMembers(name, asked) {
      const nodes = await nodesFor(asked);
      await change(`hosts of vmgroup ${name}`, (rules) => changeMembers(rules, name, asked.change, nodes));
    },

    async changeAccess(name, datastore, asked) {
      await change(`access of vmgroup ${name} to ${datastore}`, (rules) =>
        asked.change === 'add'
          ? addAccess(rules, name, datastore, asked, datastores)
          : setAccess(rules, name, datastore, asked),
      );
    },

    async removeAccess(name, datastore) {
      await change(`access of vmgroup ${name} to ${datastore}`, (rules) =>
        removeAccess(rules, name, datastore),
      );
    },
  };
}
