/** `--mount` of a volume, without Docker's copy of what the image has there. */
export function volumeMount(volume: string, driver: 'vdvs' | 'vfile' = 'vfile', target = '/volume'): string {
  return `type=volume,source=${volume},target=${target},volume-driver=${driver},volume-nocopy`;
}
