/** Where vFile's records are in the store. Volume names cannot contain `/`. */
export const vfileKeys = {
  volumes: '/vfile/volumes/',
  volume: (name: string) => `/vfile/volumes/${name}/`,
  spec: (name: string) => `/vfile/volumes/${name}/spec`,
  status: (name: string) => `/vfile/volumes/${name}/status`,
  mounts: (name: string) => `/vfile/volumes/${name}/mounts/`,
  mount: (name: string, node: string) => `/vfile/volumes/${name}/mounts/${node}`,
  claim: (name: string) => `/vfile/volumes/${name}/claim`,
  epoch: (name: string) => `/vfile/volumes/${name}/epoch`,
  server: (name: string) => `/vfile/volumes/${name}/server`,
  move: (name: string) => `/vfile/volumes/${name}/move`,
  ports: '/vfile/ports/',
  /** Value: `{v:1, volume}`; taken in the transaction that creates the volume. */
  port: (port: number) => `/vfile/ports/${port}`,
  nodes: '/vfile/nodes/',
  node: (node: string) => `/vfile/nodes/${node}`,
  leader: '/vfile/leader',
} as const;

/** Where a key below `vfileKeys.volumes` belongs; `undefined` for a key of another form. */
export function parseVolumeKey(key: string): { volume: string; part: string; node?: string } | undefined {
  if (!key.startsWith(vfileKeys.volumes)) return undefined;
  const [volume, part, node] = key.slice(vfileKeys.volumes.length).split('/');
  if (!volume || !part) return undefined;
  return node === undefined ? { volume, part } : { volume, part, node };
}
