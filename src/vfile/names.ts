import { createHash } from 'node:crypto';
import { VolumeError } from '../lib/errors.ts';

const volumeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const longestVolumeName = 100;
/** Swarm's limit for names of services, and DNS's for one label of a host name. */
const longestServiceName = 63;
/** vDVS' limit; other drivers allow more. */
const longestBaseName = 100;
/** vDVS keeps names that end so for snapshots. */
const snapshotName = /-\d{6}$/;

/**
 * Checks the name of a new volume. Whatever passes can be created *and* mounted.
 * @throws VolumeError `invalid` saying what is allowed.
 */
export function checkVolumeName(name: string): void {
  if (name.length > longestVolumeName) {
    throw new VolumeError(
      'invalid',
      `volume name is ${name.length} characters long; at most ${longestVolumeName} are allowed`,
    );
  }
  if (!volumeName.test(name)) {
    throw new VolumeError(
      'invalid',
      `volume name ${JSON.stringify(name)} is not valid: letters, digits, "_", "." and "-" are allowed, the first a letter or digit`,
    );
  }
}

function shortHash(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 10);
}

/** `prefix` and the name with a hash, at most `limit` long; `clean` replaces what the target's alphabet lacks. */
function hashed(prefix: string, name: string, limit: number, clean: RegExp): string {
  const tail = `-${shortHash(name)}`;
  const room = limit - prefix.length - tail.length;
  return `${prefix}${name.replace(clean, '-').slice(0, room)}${tail}`;
}

/**
 * Name of the Swarm service that serves a volume: `vfile-<name>` where that is possible, else with a hash. Swarm
 * compares names without regard to case, so a name with capitals always has a hash. Services are nevertheless
 * looked up by label.
 */
export function serviceNameOf(volume: string): string {
  const plain = `vfile-${volume}`;
  if (plain.length <= longestServiceName && /^[a-z0-9_-]+$/.test(volume)) return plain;
  return hashed('vfile-', volume, longestServiceName, /[^a-zA-Z0-9_-]/g);
}

/**
 * Host name of a volume's file server: the same on every host, since ganesha keeps its recovery records under it.
 * One DNS label.
 */
export function serverHostnameOf(volume: string): string {
  const plain = `vfile-${volume}`;
  if (plain.length <= longestServiceName && /^[a-z0-9-]*[a-z0-9]$/.test(volume)) return plain;
  return hashed('vfile-', volume.toLowerCase(), longestServiceName, /[^a-z0-9-]/g);
}

/**
 * Name of the block volume under a volume: `_vF_<name>`, with a hash where the base driver could not take that name
 * (too long, or of the form that vDVS keeps for snapshots).
 */
export function baseVolumeOf(volume: string): string {
  const plain = `_vF_${volume}`;
  if (plain.length <= longestBaseName && !snapshotName.test(plain)) return plain;
  return hashed('_vF_', volume, longestBaseName, /[^a-zA-Z0-9_.-]/g);
}

/** Labels on everything that is made for a volume; only what carries this cluster's ID is ever removed. */
export const labelNames = { cluster: 'org.vfile.cluster', volume: 'org.vfile.volume' } as const;

/** The labels of what belongs to one volume in one cluster. */
export function volumeLabels(clusterId: string, volume: string): Record<string, string> {
  return { [labelNames.cluster]: clusterId, [labelNames.volume]: volume };
}
