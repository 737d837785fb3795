import type { z } from 'zod';
import type { Mirror } from '../../etcd/mirror.ts';
import type { Entry } from '../../etcd/store.ts';
import { parseVolumeKey, vfileKeys } from '../keys.ts';
import {
  type MountRecord,
  mountRecordSchema,
  type ServerRecord,
  serverClaimSchema,
  serverRecordSchema,
  type VolumeSpec,
  type VolumeStatus,
  volumeSpecSchema,
  volumeStatusSchema,
} from '../types.ts';
import type { Serving } from './decide-target.ts';

/** What is known of the volumes, from the mirror: never asks etcd. A record that does not parse counts as absent. */
export interface VolumeView {
  spec(volume: string): VolumeSpec | undefined;
  status(volume: string): VolumeStatus | undefined;
  server(volume: string): ServerRecord | undefined;
  mount(volume: string, node: string): MountRecord | undefined;
  /** Records of all nodes; looks at every key, so only for what a human asked. */
  mounts(volume: string): MountRecord[];
  /** All volumes. */
  specs(): VolumeSpec[];
  /** Names of the volumes that have a mount record of this node. */
  mountedBy(node: string): string[];
  /** Who serves, for re-targeting: not known while the mirror is not current. */
  serving(volume: string): Serving;
}

/** The view through a mirror of `vfileKeys.volumes`. */
export function createVolumeView(mirror: Mirror): VolumeView {
  // Entries are replaced, never changed: what was parsed stays right for as long as the entry lives.
  const parsed = new WeakMap<Entry, unknown>();
  const parse = <T>(schema: z.ZodType<T>, entry: Entry | undefined): T | undefined => {
    if (!entry) return undefined;
    if (parsed.has(entry)) return parsed.get(entry) as T | undefined;
    const result = schema.safeParse(entry.value).data;
    parsed.set(entry, result);
    return result;
  };
  const at = <T>(schema: z.ZodType<T>, key: string) => parse(schema, mirror.entries.get(key));
  const server = (volume: string) => at(serverRecordSchema, vfileKeys.server(volume));

  return {
    spec: (volume) => at(volumeSpecSchema, vfileKeys.spec(volume)),
    status: (volume) => at(volumeStatusSchema, vfileKeys.status(volume)),
    server,
    mount: (volume, node) => at(mountRecordSchema, vfileKeys.mount(volume, node)),
    mounts(volume) {
      const prefix = vfileKeys.mounts(volume);
      return [...mirror.entries.values()].flatMap((entry) => {
        const record = entry.key.startsWith(prefix) ? parse(mountRecordSchema, entry) : undefined;
        return record ? [record] : [];
      });
    },
    specs: () =>
      [...mirror.entries.values()].flatMap((entry) => {
        const spec = entry.key.endsWith('/spec') ? parse(volumeSpecSchema, entry) : undefined;
        return spec ? [spec] : [];
      }),
    mountedBy: (node) =>
      [...mirror.entries.keys()].flatMap((key) => {
        const place = parseVolumeKey(key);
        return place?.part === 'mounts' && place.node === node ? [place.volume] : [];
      }),
    serving(volume) {
      const record = server(volume);
      const now = record && { address: record.address, epoch: record.epoch, instance: record.instance };
      if (!mirror.synced) {
        const reason = mirror.problem ?? 'etcd is out of reach';
        return { known: false, reason, ...(now ? { last: now } : {}) };
      }
      const { address, epoch } = at(serverClaimSchema, vfileKeys.claim(volume)) ?? {};
      if (now || !address || !epoch) return { known: true, server: now };
      return { known: true, server: { address, epoch, instance: 1 }, starting: true };
    },
  };
}
