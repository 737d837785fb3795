/** A volume as Docker's protocol shows it. */
export interface DriverVolume {
  name: string;
  /** Path under the propagated mount where it is mounted on this node, or '' when it is not. */
  mountpoint: string;
  /** RFC 3339; without it users see the year 1. */
  createdAt: string;
  /** Shown by `docker volume inspect`; only Get needs it. */
  status?: Record<string, unknown>;
}

/**
 * What a volume plugin does, behind Docker's protocol (`src/plugin`): the protocol decodes, validates, bounds and
 * encodes; the driver acts. Docker's limits: Create and Mount 120 s, all else 60 s; drivers give up before that with
 * a VolumeError that says what was waited for.
 */
export interface VolumeDriver {
  /** Idempotent; never formats an existing volume. */
  create(name: string, options: Readonly<Record<string, string>>): Promise<void>;
  remove(name: string): Promise<void>;
  /** @returns the path under the propagated mount. `id` belongs to a container's mount point and can come again. */
  mount(name: string, id: string): Promise<string>;
  unmount(name: string, id: string): Promise<void>;
  /** @returns the mount point, '' when not mounted. Answers from memory. */
  path(name: string): Promise<string>;
  /**
   * @returns `undefined` only when the volume certainly does not exist: dockerd forgets a volume on any error.
   * @throws when it is not known; the protocol then lets the caller wait and closes the connection.
   */
  get(name: string): Promise<DriverVolume | undefined>;
  list(): Promise<DriverVolume[]>;
}
