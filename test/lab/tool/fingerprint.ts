import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A short name for content: equal parts give equal names. */
export function fingerprint(...parts: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest('hex').slice(0, 12);
}

/** The fingerprint of files and folders (names, modes and content), relative to a folder. Missing ones count as such. */
export function fingerprintFiles(folder: string, names: readonly string[]): string {
  const parts: (string | Buffer)[] = [];
  const visit = (name: string): void => {
    const path = join(folder, name);
    const info = statSync(path, { throwIfNoEntry: false });
    if (info === undefined) parts.push(name, 'missing');
    else if (info.isDirectory()) for (const entry of readdirSync(path).sort()) visit(join(name, entry));
    else if (info.isSymbolicLink()) parts.push(name, readlinkSync(path));
    else parts.push(name, String(info.mode & 0o111), readFileSync(path));
  };
  for (const name of names) visit(name);
  return fingerprint(...parts);
}
