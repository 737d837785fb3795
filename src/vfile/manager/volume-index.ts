import type { Mirror } from '../../etcd/mirror.ts';
import type { Entry } from '../../etcd/store.ts';
import { parseVolumeKey, vfileKeys } from '../keys.ts';
import { parseRecord, readVolume, type VolumeRecords } from '../read-volume.ts';
import { serverClaimSchema } from '../types.ts';

/** The mirror of `/vfile/volumes/`, sorted by volume, so that a look at one costs no look at all. */
export class VolumeIndex {
  readonly #mirror: Mirror;
  readonly #byVolume = new Map<string, Map<string, Entry>>();
  readonly #stop: () => void;

  /** @param onChange volumes to be looked at again. The status is written by the manager itself, so it is no reason. */
  constructor(mirror: Mirror, onChange: (volumes: ReadonlySet<string>) => void) {
    this.#mirror = mirror;
    this.#update(mirror.entries.keys());
    this.#stop = mirror.onChange((keys) => {
      this.#update(keys);
      const volumes = new Set<string>();
      for (const key of keys) {
        const at = parseVolumeKey(key);
        if (at && at.part !== 'status') volumes.add(at.volume);
      }
      if (volumes.size > 0) onChange(volumes);
    });
  }

  /** Volumes that have a spec. */
  names(): string[] {
    return [...this.#byVolume].flatMap(([name, entries]) =>
      entries.has(vfileKeys.spec(name)) ? [name] : [],
    );
  }

  read(name: string): VolumeRecords {
    return readVolume(name, this.#byVolume.get(name)?.values() ?? []);
  }

  /** How many volumes each node serves, or is about to. */
  serversByNode(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const [name, entries] of this.#byVolume) {
      const claim = parseRecord(serverClaimSchema, entries.get(vfileKeys.claim(name)));
      if (claim) counts.set(claim.value.node, (counts.get(claim.value.node) ?? 0) + 1);
    }
    return counts;
  }

  stop(): void {
    this.#stop();
  }

  #update(keys: Iterable<string>): void {
    for (const key of keys) {
      const at = parseVolumeKey(key);
      if (!at) continue;
      const entry = this.#mirror.entries.get(key);
      const entries = this.#byVolume.get(at.volume) ?? new Map<string, Entry>();
      if (entry) {
        entries.set(key, entry);
        this.#byVolume.set(at.volume, entries);
        continue;
      }
      entries.delete(key);
      if (entries.size === 0) this.#byVolume.delete(at.volume);
    }
  }
}
