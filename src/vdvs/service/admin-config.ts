import type { z } from 'zod';
import type { Store } from '../../etcd/store.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolumeError } from '../../lib/errors.ts';
import { version } from '../../lib/version.ts';
import type { configSchema, PolicyView, ServiceStatus } from '../admin-api.ts';
import { renderVolumeName } from '../names.ts';
import { createPolicy, removePolicy, updatePolicy } from '../rules/access-changes.ts';
import { changeRules } from '../rules/change-rules.ts';
import { groupOfName, plainName } from '../rules/group-names.ts';
import { type RulesRead, readRules } from '../rules/read-rules.ts';
import { defaultGroup, noRules, type Rules } from '../rules/types.ts';
import { refuseMoves } from './moving-nodes.ts';
import { readVolumes } from './records.ts';

/** The administrator's work on policies and on the rules as a whole. */
export interface AdminConfig {
  policies(): Promise<PolicyView[]>;
  createPolicy(name: string, content: string): Promise<void>;
  updatePolicy(name: string, content: string): Promise<void>;
  /** @throws VolumeError `busy` while volumes have it. */
  removePolicy(name: string): Promise<void>;
  config(): Promise<z.infer<typeof configSchema>>;
  /** Writes the rules that hold anyway, to be changed from there. @throws VolumeError `exists`. */
  init(): Promise<void>;
  /** Takes all rules away. @throws VolumeError `busy` while groups have volumes, whose names only mean something with them. */
  clear(): Promise<void>;
  status(node: string): Promise<ServiceStatus>;
}

const location = 'etcd on the managers';

/** Policies and rules in the store. */
export function createAdminConfig(parts: {
  readonly store: Store;
  readonly datastores: readonly string[];
  readonly clock: Clock;
}): AdminConfig {
  const { store } = parts;

  const policyUsers = async (): Promise<Map<string, string[]>> => {
    const users = new Map<string, string[]>();
    for (const { id, volume } of await readVolumes(store)) {
      const policy = volume?.value.options.policy;
      if (policy === undefined) continue;
      const name = renderVolumeName({ ...id, name: plainName(id.name) });
      users.set(policy, [...(users.get(policy) ?? []), name]);
    }
    return users;
  };
  const describe = ({ rules, configured }: RulesRead) => ({
    configured,
    location,
    vmgroups: rules.groups.length,
    policies: Object.keys(rules.policies).length,
  });
  const change = (apply: (rules: Rules) => Rules) => changeRules(parts, ({ rules }) => apply(rules));

  return {
    async policies() {
      const [{ rules }, users] = await Promise.all([readRules(store), policyUsers()]);
      return Object.entries(rules.policies).map(([name, { content }]) => ({
        name,
        content,
        volumes: users.get(name)?.length ?? 0,
      }));
    },
    createPolicy: (name, content) => change((rules) => createPolicy(rules, name, content)),
    updatePolicy: (name, content) => change((rules) => updatePolicy(rules, name, content)),
    removePolicy: (name) =>
      changeRules(parts, async ({ rules }) =>
        removePolicy(rules, name, (await policyUsers()).get(name) ?? []),
      ),

    config: async () => describe(await readRules(store)),
    init: () =>
      changeRules(parts, ({ rules, configured }) => {
        if (configured) throw new VolumeError('exists', 'rules are set already');
        return rules;
      }),
    clear: () =>
      changeRules(parts, async ({ rules }) => {
        const users = (await readVolumes(store)).filter(
          ({ id }) => (groupOfName(id.name) ?? defaultGroup) !== defaultGroup,
        );
        if (users.length > 0) {
          throw new VolumeError(
            'busy',
            `${users.length} volume(s) belong to vmgroups other than ${defaultGroup}: remove them first`,
          );
        }
        await refuseMoves(store, rules, noRules);
        return undefined;
      }),

    async status(node) {
      const [read, volumes] = await Promise.all([readRules(store), readVolumes(store)]);
      return {
        version,
        node,
        datastores: parts.datastores.map((name) => {
          const there = volumes.filter(({ id }) => id.datastore === name);
          const sizeBytes = there.reduce((sum, one) => sum + (one.volume?.value.options.sizeBytes ?? 0), 0);
          return { name, volumes: there.length, sizeBytes };
        }),
        volumes: volumes.length,
        attached: volumes.filter(({ attachment }) => attachment !== undefined).length,
        config: describe(read),
      };
    },
  };
}
