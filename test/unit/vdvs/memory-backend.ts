import type { Json } from '../../../src/etcd/store.ts';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { DatastoreBackend, Disk } from '../../../src/vdvs/backends/backend.ts';

/** A disk, what somebody wrote to it, and what is noted beside it. */
export interface MemoryDisk extends Disk {
  readonly content: string;
  readonly notes: Json;
}

/** Disks in memory; a failure can be ordered for the next call that changes something. */
export function memoryBackend() {
  const disks = new Map<string, MemoryDisk>();
  const failures: VolumeError[] = [];
  /** Whether a lost holder can be left behind, and the places that were made for that. */
  const places: { next: boolean; made: string[]; onMade?: () => void; making?: Promise<void> } = {
    next: false,
    made: [],
  };
  /** `<disk> <epoch>` of holders that have said that they let go. */
  const released = new Set<string>();
  /** How often somebody wrote. */
  const writes = { count: 0 };
  const fail = () => {
    const failure = failures.shift();
    if (failure) throw failure;
  };
  const find = (disk: Disk): MemoryDisk => {
    const found = disks.get(disk.disk);
    if (!found) throw new VolumeError('unavailable', `no disk ${disk.disk}`);
    if (found.uuid !== disk.uuid) throw new VolumeError('exists', `${disk.disk} is another disk`);
    return found;
  };
  const add = (disk: Disk, content: string) => {
    if (disks.has(disk.disk)) find(disk);
    else disks.set(disk.disk, { ...disk, content, notes: null });
  };
  const backend: DatastoreBackend = {
    diskPath: (name) => `${name}.vmdk`,
    unsupported: (options) => (options.policy ? `no storage policy ${options.policy}` : undefined),
    async create(disk) {
      fail();
      add(disk, '');
    },
    async copy(disk, from) {
      fail();
      add(disk, disks.get(from.path)?.content ?? '');
    },
    source: async (disk) => ({ kind: 'file', path: find(disk).disk }),
    async grow(disk) {
      fail();
      const { sizeBytes } = find(disk);
      disks.set(disk.disk, { ...find(disk), sizeBytes: Math.max(sizeBytes, disk.sizeBytes) });
    },
    async describe(disk, notes) {
      disks.set(disk.disk, { ...find(disk), notes: JSON.parse(JSON.stringify(notes)) as Json });
    },
    contents: async () => ({
      disks: [...disks.values()].map(({ extent: _at, ...disk }) => disk),
      strange: [],
    }),
    async takeOver(disk, formerUuid) {
      if (disks.get(disk.disk)?.uuid === disk.uuid) return;
      disks.set(disk.disk, { ...find({ ...disk, uuid: formerUuid }), uuid: disk.uuid });
    },
    sweep: async () => [],
    async remove(disk) {
      fail();
      if (disks.has(disk.disk)) find(disk);
      disks.delete(disk.disk);
    },
    usage: async (disk) =>
      disks.has(disk.disk) ? { sizeBytes: disk.sizeBytes, allocatedBytes: 4096 } : undefined,
    attach: async (disk) => ({ kind: 'folder-file', datastore: disk.id.datastore, file: find(disk).disk }),
    async leaveBehind(disk, epoch) {
      fail();
      find(disk);
      if (!places.next) return undefined;
      await places.making;
      const place = `${disk.disk}~${epoch}`;
      places.made.push(place);
      places.onMade?.();
      return place;
    },
    hasReleaseNote: async (disk, epoch) => released.has(`${find(disk).disk} ${epoch}`),
    stamp: async (disk) => `${find(disk).uuid} ${writes.count}`,
    async discard(extent) {
      const index = places.made.indexOf(extent);
      if (index >= 0) places.made.splice(index, 1);
    },
    detach: async () => undefined,
  };
  /** As an attached host would. */
  const write = (file: string, content: string) => {
    const disk = disks.get(file);
    if (!disk) throw new Error(`no disk ${file}`);
    disks.set(file, { ...disk, content });
    writes.count += 1;
  };
  return { backend, disks, failures, write, places, released };
}
