/** `--mount` of a volume at `/volume`, without Docker's copy of what the image has there. */
export function volumeMount(volume: string, driver: 'vdvs' | 'vfile' = 'vfile'): string {
  return `type=volume,source=${volume},target=/volume,volume-driver=${driver},volume-nocopy`;
}
