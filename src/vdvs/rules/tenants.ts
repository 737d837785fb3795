import type { Store } from '../../etcd/store.ts';
import type { Grant, VolumeView } from '../api.ts';
import type { VolumeId, VolumeRecord } from '../types.ts';
import { groupOfNode, requireCreate, requireGroup } from './decide.ts';
import { groupOfName, internalName, plainName, requirePlain } from './group-names.ts';
import { readRules } from './read-rules.ts';
import { hostDatastoreName, type Rules } from './types.ts';

/** What names mean for a node: its group's volumes and no others. */
export interface Tenants {
  /**
   * The volume that a node means.
   * @param use `remove` also checks that its group may.
   * @throws VolumeError `denied` for a node that is locked out, `invalid` for a name that nobody can have.
   */
  resolve(node: string, named: VolumeId, use?: 'remove'): Promise<VolumeId>;
  /**
   * As `resolve`, by rules that may have changed since, without a look at the store; `undefined` when they name no volume.
   * @throws VolumeError `invalid` as above.
   */
  guess(node: string, named: VolumeId): VolumeId | undefined;
  /** As `resolve` for a new volume and the source in its options. */
  resolveNew(
    node: string,
    named: VolumeId,
    options: Readonly<Record<string, string>>,
  ): Promise<{ id: VolumeId; options: Readonly<Record<string, string>> }>;
  /** Those of the volumes that the node's group has, as it knows them. */
  visible(node: string, views: readonly VolumeView[]): Promise<VolumeView[]>;
  /** The node's group, and where its volumes are that are named without a datastore. */
  self(node: string): Promise<{ vmgroup: string; defaultDatastore: string }>;
}

/** A record as the users of its group know it. */
export function plainRecord(record: VolumeRecord): VolumeRecord {
  const { copyOf } = record;
  const { cloneFrom } = record.options;
  const options =
    cloneFrom === undefined ? record.options : { ...record.options, cloneFrom: plainName(cloneFrom) };
  return {
    ...record,
    name: plainName(record.name),
    options,
    ...(copyOf === undefined ? {} : { copyOf: { ...copyOf, name: plainName(copyOf.name) } }),
  };
}

/** A view as the users of its group know it. */
export function plainView<T extends VolumeView | Grant>(view: T): T {
  return { ...view, record: plainRecord(view.record) };
}

/**
 * Names over the rules in the store.
 * @param remembered the rules as last seen, see `RulesGate`.
 */
export function createTenants({
  store,
  hostDatastore,
  remembered,
}: {
  readonly store: Store;
  readonly hostDatastore: string;
  readonly remembered: () => Rules | undefined;
}): Tenants {
  return {
    guess(node, named) {
      requirePlain(named);
      if (groupOfName(named.name) === undefined) return named;
      const rules = remembered();
      const group = rules && groupOfNode(rules, node);
      return group && { datastore: named.datastore, name: internalName(group.id, named.name) };
    },

    async resolve(node, named, use) {
      requirePlain(named);
      // Any node may have to serve it, whether it has a group or not.
      if (groupOfName(named.name) === undefined) return named;
      const { rules } = await readRules(store);
      const group = requireGroup(rules, node);
      const id = { datastore: named.datastore, name: internalName(group.id, named.name) };
      if (use === 'remove') {
        requireCreate(group, id, hostDatastore, 'delete');
      }
      return id;
    },

    async resolveNew(node, named, options) {
      requirePlain(named);
      const from = options['clone-from'];
      if (from !== undefined) requirePlain({ datastore: named.datastore, name: from });
      if (groupOfName(named.name) === undefined && (from === undefined || groupOfName(from) === undefined)) {
        return { id: named, options };
      }
      const { rules } = await readRules(store);
      const group = requireGroup(rules, node);
      const inside = ({ datastore, name }: VolumeId) => ({ datastore, name: internalName(group.id, name) });
      if (from === undefined) return { id: inside(named), options };
      // The mark comes before the name, so a datastore behind it stays what it is.
      return { id: inside(named), options: { ...options, 'clone-from': internalName(group.id, from) } };
    },

    async visible(node, views) {
      const { rules, configured } = await readRules(store);
      if (!configured) return [...views];
      const group = groupOfNode(rules, node);
      return views
        .filter(({ record }) => {
          const owner = groupOfName(record.name);
          return owner === undefined || owner === group?.id;
        })
        .map(plainView);
    },

    async self(node) {
      const { rules } = await readRules(store);
      const group = requireGroup(rules, node);
      const { defaultDatastore } = group;
      return {
        vmgroup: group.name,
        defaultDatastore: defaultDatastore === hostDatastoreName ? hostDatastore : defaultDatastore,
      };
    },
  };
}
