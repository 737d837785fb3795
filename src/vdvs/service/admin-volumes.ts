import { VolumeError } from '../../lib/errors.ts';
import type { AdminVolume } from '../admin-api.ts';
import type { VolumeView } from '../api.ts';
import { vdvsKeys } from '../keys.ts';
import { renderVolumeName } from '../names.ts';
import { parseBlockOptions } from '../options.ts';
import { findGroup } from '../rules/group-changes.ts';
import { groupOfName, internalName } from '../rules/group-names.ts';
import { readRules } from '../rules/read-rules.ts';
import { plainView } from '../rules/tenants.ts';
import type { VolumeId } from '../types.ts';
import { updateNotes } from './notes.ts';
import { readVolume } from './records.ts';
import type { ServiceParts } from './service-parts.ts';

/** The administrator's work on volumes. */
export interface AdminVolumes {
  /**
   * All volumes, or one group's.
   * @param usage whether to ask the datastores what each takes up.
   */
  list(vmgroup: string | undefined, usage: boolean): Promise<AdminVolume[]>;
  /** Changes options for the next attach. @throws VolumeError `invalid` naming what can be changed, `not_found`. */
  set(named: VolumeId, vmgroup: string, options: Readonly<Record<string, string>>): Promise<void>;
}

/** Options that an administrator may change of an existing volume. */
const changeable = ['access', 'attach-as'] as const;
const everybody = '*';
const maxAttempts = 10;

/** Volumes with their groups. */
export function createAdminVolumes(
  parts: Pick<ServiceParts, 'store' | 'backends' | 'cluster' | 'log'> & {
    readonly volumes: {
      list(): Promise<VolumeView[]>;
      get(id: VolumeId): Promise<VolumeView>;
    };
  },
): AdminVolumes {
  const { store, volumes } = parts;
  const withUsage = async (view: VolumeView): Promise<VolumeView> =>
    // A volume that goes meanwhile is shown as it was.
    await volumes.get(view.record).catch(() => view);

  return {
    async list(vmgroup, usage) {
      const { rules } = await readRules(store);
      const only = vmgroup === undefined ? undefined : findGroup(rules, vmgroup).id;
      const names = new Map(rules.groups.map((group) => [group.id, group.name]));
      const some = (await volumes.list()).filter(
        ({ record }) => only === undefined || groupOfName(record.name) === only,
      );
      const views = usage ? await Promise.all(some.map(withUsage)) : some;
      return views.map((view) => {
        const owner = groupOfName(view.record.name);
        return { ...plainView(view), vmgroup: owner === undefined ? everybody : (names.get(owner) ?? owner) };
      });
    },

    async set(named, vmgroup, options) {
      const given = Object.keys(options);
      const wrong = given.filter((option) => !changeable.some((name) => name === option));
      if (given.length === 0 || wrong.length > 0) {
        const what = wrong.length > 0 ? `${wrong.join(', ')} cannot be changed` : 'nothing to change';
        throw new VolumeError('invalid', `${what}; options that can be changed: ${changeable.join(', ')}`);
      }
      if (groupOfName(named.name) === undefined) {
        throw new VolumeError(
          'invalid',
          `volume ${named.name} belongs to a shared volume of vFile, whose file server has to write to it`,
        );
      }
      const { access, attachAs } = parseBlockOptions(options);
      const { rules } = await readRules(store);
      const id = {
        datastore: named.datastore,
        name: internalName(findGroup(rules, vmgroup).id, named.name),
      };
      for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
        const { volume } = await readVolume(store, id);
        if (volume?.value.phase !== 'ready') {
          throw new VolumeError(
            'not_found',
            `volume ${renderVolumeName(named)} does not exist in vmgroup ${vmgroup}`,
          );
        }
        const changed = {
          ...volume.value.options,
          ...(options.access === undefined ? {} : { access }),
          ...(options['attach-as'] === undefined ? {} : { attachAs }),
        };
        const key = vdvsKeys.volume(id);
        const record = { ...volume.value, options: changed };
        const { done } = await store.txn(
          [{ key, modRevision: volume.modRevision }],
          [{ put: key, value: record }],
        );
        if (done) return await updateNotes(parts, 'volume', record);
      }
      throw new VolumeError(
        'conflict',
        `volume ${renderVolumeName(named)}: others keep changing it; try again`,
      );
    },
  };
}
