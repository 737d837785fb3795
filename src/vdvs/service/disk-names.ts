import type { Store } from '../../etcd/store.ts';
import { findGroup } from '../rules/group-changes.ts';
import { groupOfName, internalName, plainName, requirePlain } from '../rules/group-names.ts';
import { readRules } from '../rules/read-rules.ts';
import type { Tenants } from '../rules/tenants.ts';
import { defaultGroup } from '../rules/types.ts';
import type { DiskNames } from './disk-routes.ts';

/** Names by the groups of the rules. */
export function createDiskNames({ store, tenants }: { store: Store; tenants: Tenants }): DiskNames {
  return {
    async ofAdmin(vmgroup, id) {
      requirePlain(id);
      const group =
        vmgroup === undefined ? defaultGroup : findGroup((await readRules(store)).rules, vmgroup).id;
      return { datastore: id.datastore, name: internalName(group, id.name) };
    },
    ofNode: (node, id) => tenants.resolve(node, id),
    async groups() {
      const { rules } = await readRules(store);
      const groups = new Map(rules.groups.map((group) => [group.id, group.name]));
      return ({ name }) => {
        const owner = groupOfName(name);
        return owner === undefined ? '' : (groups.get(owner) ?? owner);
      };
    },
    shown: ({ datastore, name }) => ({ datastore, name: plainName(name) }),
  };
}
