/** A file system that the guard watches over. */
export interface GuardedMount {
  readonly mountpoint: string;
  readonly device: string;
}

/**
 * The guard as the driver sees it: it holds this node's lease, and shuts file systems down before the lease can have run
 * out. It lives in a process of its own (`src/vdvs/guard`).
 */
export interface Guard {
  /**
   * The node's lease now. Attachments hang on it.
   * @throws VolumeError `unavailable` after `timeoutMs`, saying why there is none.
   */
  lease(timeoutMs: number): Promise<string>;
  /** Aborted when this lease is not the node's any more, from the beginning when it is not now. It never is again. */
  lossOf(lease: string): AbortSignal;
  /**
   * From the answer on the file system is shut down with the lease, also when it is mounted only later. Ask before the
   * mount and once more after it.
   * @throws VolumeError `unavailable` when this lease is not the node's any more.
   */
  protect(mount: GuardedMount, lease: string): Promise<void>;
  /** The file system is unmounted, or was shut down. */
  release(mountpoint: string): Promise<void>;
  /** Shuts one file system down now, without flushing. @returns false when it is not mounted there. */
  shutdown(mount: GuardedMount): Promise<boolean>;
  /**
   * The lease is gone or about to go: all protected file systems are shut down. Also told at the start, when what an
   * earlier life left mounted could not be kept.
   */
  onFenced(callback: (reason: string) => void): void;
}
