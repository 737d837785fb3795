import { lstat, open, readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * ganesha's fs_ng records, as 9.14 keeps them below its recovery root:
 *
 *     v4recov/<host>            symbolic link to the records in force
 *     v4recov/<host>.XXXXXX/    one directory for each start; the link moves to it when grace ends
 *       <address>-(<len>:<owner>)            one directory for each client, address in IPv6 form
 *       <first 255 bytes>/<the rest>         the same, for a longer name
 *
 * A start reads the clients that may reclaim through the link.
 */
const recordsDirectory = 'v4recov';

/** The client's address from the name of its record, without the IPv6 form of an IPv4 address. */
export function addressOfRecord(name: string): string | undefined {
  const end = name.indexOf('-(');
  if (end <= 0) return undefined;
  return plainAddress(name.slice(0, end));
}

/** `::ffff:10.0.0.1` and `10.0.0.1` are one address. */
export function plainAddress(address: string): string {
  return address.toLowerCase().replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
}

/** What a cleaning did. */
export interface CleanedRecords {
  /** Addresses whose records may reclaim. */
  readonly kept: readonly string[];
  /** Addresses whose records were dropped. */
  readonly dropped: readonly string[];
  /** The directory in force before the start; `undefined` when there is none. */
  readonly inForce?: string;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function entries(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Readies the records before a start of ganesha: drops those of clients that will never come back, so that nobody waits
 * for them in grace, and the directories that killed starts left behind.
 * @param mayReturn whether a client at this address can still come back to reclaim.
 */
export async function cleanRecoveryRecords(
  recoveryRoot: string,
  host: string,
  mayReturn: (address: string) => boolean,
): Promise<CleanedRecords> {
  const root = join(recoveryRoot, recordsDirectory);
  const names = await entries(root);
  if (names.length === 0) return { kept: [], dropped: [] };
  const link = names.includes(host) ? await readlink(join(root, host)) : undefined;
  // Never touch anything unless it is known which directory is in force.
  if (link !== undefined) {
    const stale = names.filter((name) => name !== host && name !== link && name.startsWith(`${host}.`));
    for (const name of stale) await rm(join(root, name), { recursive: true, force: true });
  }
  const kept = new Set<string>();
  const dropped = new Set<string>();
  const inForce = link === undefined ? undefined : join(root, link);
  for (const name of inForce ? await entries(inForce) : []) {
    const address = addressOfRecord(name);
    if (address === undefined || inForce === undefined) continue;
    if (mayReturn(address)) {
      kept.add(address);
      continue;
    }
    await rm(join(inForce, name), { recursive: true, force: true });
    dropped.add(address);
  }
  return {
    kept: [...kept].sort(),
    dropped: [...dropped].sort(),
    ...(link === undefined ? {} : { inForce: link }),
  };
}

/**
 * Addresses of the clients that a running ganesha has recorded: in grace, and when it has just ended, those that have
 * reclaimed.
 * @param before what was in force before its start: it goes when grace ends.
 */
export async function recordedClients(
  recoveryRoot: string,
  host: string,
  before: string | undefined,
): Promise<string[]> {
  const root = join(recoveryRoot, recordsDirectory);
  const own = (await entries(root)).filter((name) => name.startsWith(`${host}.`) && name !== before);
  const names = (await Promise.all(own.map((name) => entries(join(root, name))))).flat();
  const addresses = names.map(addressOfRecord).filter((address) => address !== undefined);
  return [...new Set(addresses)].sort();
}

/** Syncs the directories that hold the records, deepest first. Cheap when nothing changed. */
export async function syncRecoveryRecords(recoveryRoot: string): Promise<void> {
  const root = join(recoveryRoot, recordsDirectory);
  for (const name of await entries(root)) {
    const path = join(root, name);
    // A directory may go away under us: ganesha removes the old one at the end of grace.
    const found = await lstat(path).catch(() => undefined);
    if (found?.isDirectory()) await syncDirectory(path).catch(ignoreMissing);
  }
  await syncDirectory(root).catch(ignoreMissing);
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
