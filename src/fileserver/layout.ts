import { join } from 'node:path';

/** Pseudo path under which every volume is exported: what clients mount as `<address>:/vol`. */
export const exportedAs = '/vol';

/** Where things are on the block volume. Only `data` is exported; applications never see the rest or `lost+found`. */
export interface VolumeLayout {
  readonly root: string;
  /** The exported directory. */
  readonly data: string;
  /** Our own files. */
  readonly private: string;
  /** Names the volume, so that a wrong or empty disk is never served in its place. */
  readonly marker: string;
  /** ganesha's records of clients: they travel with the volume. */
  readonly recovery: string;
  /** Overwritten in place by the write probe. */
  readonly probe: string;
}

/** The layout of the block volume mounted at `root`. */
export function volumeLayout(root: string): VolumeLayout {
  const own = join(root, '.vfile');
  return {
    root,
    data: join(root, 'data'),
    private: own,
    marker: join(own, 'volume.json'),
    recovery: join(own, 'recovery'),
    probe: join(own, 'probe'),
  };
}
