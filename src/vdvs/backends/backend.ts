import type { Json } from '../../etcd/store.ts';
import type { BlockOptions, VolumeId, VolumeRecord } from '../types.ts';

/** A disk as the records describe it. */
export interface Disk {
  readonly id: VolumeId;
  /** Path of the disk relative to the datastore. */
  readonly disk: string;
  /** Where `leaveBehind` has put its bytes; absent: where `create` did. */
  readonly extent?: string | undefined;
  /** Identity of this very disk: a disk of the same name with another one is somebody else's. */
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly diskformat: BlockOptions['diskformat'];
}

/** Where the holder's host finds an attached disk; the node's side opens it (`src/vdvs/node/disks`). */
export interface DiskLocation {
  /** A file in a folder that the host has too, under the datastore's name in its own settings. */
  readonly kind: 'folder-file';
  readonly datastore: string;
  readonly file: string;
  /**
   * A file in the same folder, not there yet. A holder makes it that has let go of the disk for good and cannot say so to a
   * service; see `DatastoreBackend.hasReleaseNote`.
   */
  readonly releaseNote?: string;
}

/** Where a backend can read a disk that nobody has attached, to copy it. */
export interface DiskSource {
  /** A file that every service has. */
  readonly kind: 'file';
  /** Absolute path on this host. */
  readonly path: string;
}

/** A disk that the datastore holds, whoever made it. */
export interface FoundDisk {
  /** Path relative to the datastore. */
  readonly disk: string;
  readonly uuid: string;
  readonly sizeBytes: number;
  /** As `Disk.extent`. */
  readonly extent?: string;
  /** What was last said of it with `describe`; `undefined` when there is nothing that can be read. */
  readonly notes: unknown;
}

/** What a record says of where the bytes of a disk are, and how often it was attached. */
export type CurrentExtent = Pick<VolumeRecord, 'epoch' | 'extent'>;

/** Size of a disk and what it takes up, in bytes. */
export interface DiskUsage {
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
}

/**
 * Where the disks of one datastore are made. Knows nothing of owners, rules or records: the service asks for what its
 * records say. All calls are idempotent; several services may do the same at once.
 */
export interface DatastoreBackend {
  /** Path that a new volume's disk will have, relative to the datastore. */
  diskPath(name: string): string;
  /**
   * What of these options the backend cannot do, for users; `undefined` when it can do all. Nothing is ignored silently.
   */
  unsupported(options: BlockOptions): string | undefined;
  /**
   * Makes the disk with all bytes zero unless it exists; a half-made one is completed.
   * @throws VolumeError `exists` when a disk of that name belongs to something else, `no_space`, `unavailable` when the
   *   datastore is not there.
   */
  create(disk: Disk): Promise<void>;
  /**
   * As `create`, with the content of another disk that nobody writes to meanwhile. Shares blocks with it where the
   * datastore can. Nobody ever finds a half copy under the disk's name.
   * @throws VolumeError as `create`, and `invalid` when this backend cannot read such a source.
   */
  copy(disk: Disk, from: DiskSource): Promise<void>;
  /** Where the disk can be read. @throws VolumeError `unavailable` when it is not there. */
  source(disk: Disk): Promise<DiskSource>;
  /** Makes an existing disk at least as large as it says, also while it is attached; what is new reads as zeroes. */
  grow(disk: Disk): Promise<void>;
  /** Keeps notes beside the disk, with which its record can be made again; replaces earlier ones. */
  describe(disk: Disk, notes: Json): Promise<void>;
  /** All disks of the datastore, and the names of files that look like disks but cannot be understood. */
  contents(): Promise<{ disks: FoundDisk[]; strange: string[] }>;
  /** Gives a disk the identity that `disk` says, so that whoever knew it by `formerUuid` does not touch it any more. */
  takeOver(disk: Disk, formerUuid: string): Promise<void>;
  /**
   * Deletes what interrupted work left, except what may still be going on.
   * @param current what the records say of each disk, by `Disk.disk`; read after the datastore was looked through.
   * @returns what it deleted.
   */
  sweep(current: () => Promise<ReadonlyMap<string, CurrentExtent>>): Promise<string[]>;
  /** Deletes the disk; success when it is gone. @throws VolumeError `exists` when it belongs to something else. */
  remove(disk: Disk): Promise<void>;
  /** `undefined` when the disk is not there. */
  usage(disk: Disk): Promise<DiskUsage | undefined>;
  /**
   * Makes the disk reachable for one host, when the datastore needs that, and says where the host finds it.
   * @param epoch of the attachment that this is for.
   * @throws VolumeError `unavailable` when it is not there, `exists` when the disk of that name is another one.
   */
  attach(disk: Disk, node: string, epoch: number): Promise<DiskLocation>;
  /**
   * For a disk whose holder was lost and may write yet, a host that goes on after it was frozen for example: puts its bytes
   * where that one does not write. What was acknowledged is there; the old place is deleted by the `attach` that follows.
   * A backend that takes the disk away from the lost host needs no such thing.
   * @param epoch of the attachment that this is for; only when that is granted, the record names the new place.
   * @param aheadMs how much longer than otherwise it may take, because nobody waits for it yet.
   * @param signal aborted when the new place is not needed any more.
   * @returns the new place, for `Disk.extent`; `undefined`: it would take too long, the disk stays where it is.
   */
  leaveBehind?(
    disk: Disk,
    epoch: number,
    aheadMs?: number,
    signal?: AbortSignal,
  ): Promise<string | undefined>;
  /**
   * Whether the holder of this epoch has said in the datastore that it has let go of the disk for good: its host will not write to
   * it any more. Nobody who was lost without a word does; one that only lost contact with the managers can.
   */
  hasReleaseNote?(disk: Disk, epoch: number): Promise<boolean>;
  /**
   * A text that is another one after anybody, on any host, has written to the disk. Never older than the call. Writes within
   * one tick of the datastore's clock, at most some 10 ms, may look like one.
   */
  stamp?(disk: Disk): Promise<string>;
  /** Deletes such a place that certainly no record names. */
  discard?(extent: string): Promise<void>;
  /** Takes the disk away from the host. Success when it is not attached. */
  detach(disk: Disk, node: string): Promise<void>;
}
