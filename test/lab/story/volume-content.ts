import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What the workers left in the volume. */
export interface VolumeContent {
  /** Text of each file in the volume's root, by name: `log.node1`, `turns.flock`, ... */
  readonly files: ReadonlyMap<string, string>;
  /** Names in the folder `entries`. */
  readonly entries: readonly string[];
}

/** Reads a volume, or a copy of one. */
export async function readVolumeContent(folder: string): Promise<VolumeContent> {
  const files = new Map<string, string>();
  const all = await readdir(folder, { withFileTypes: true });
  // One byte, one character: a sum over text that is no valid UTF-8 must not come out right.
  for (const file of all.filter((one) => one.isFile())) {
    files.set(file.name, await readFile(join(folder, file.name), 'latin1'));
  }
  const entries = all.some((one) => one.name === 'entries') ? await readdir(join(folder, 'entries')) : [];
  return { files, entries };
}

/** The fields of a line whose sum is right; `undefined` for one that is torn, foreign or empty. */
export function checkedFields(line: string): string[] | undefined {
  const text = line.trimEnd();
  const at = text.lastIndexOf(' ');
  if (at < 0) return undefined;
  const body = text.slice(0, at);
  const sum = [...Buffer.from(body, 'latin1')].reduce((total, byte) => total + byte, 0);
  return String(sum) === text.slice(at + 1) ? body.split(' ') : undefined;
}

/** A line of a problem, shortened. */
export function shown(line: string): string {
  return JSON.stringify(line.slice(0, 80));
}
