import { chmod, mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from './log.ts';
import type { TlsFiles } from './node-identity.ts';
import { replaceFile } from './replace-file.ts';

/** `f_type` of tmpfs, as statfs(2) gives it. */
const tmpfsMagic = 0x01021994;

/** Paths of PEM files that a child process reads. */
export interface TlsFilePaths {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/**
 * Writes the texts where only this user can read them, each by rename; for children such as etcd that read their files anew
 * for each handshake. The directory should be on tmpfs, so that no key reaches a disk: if it is not, the log says so.
 */
export async function writeTlsFiles(options: {
  directory: string;
  tls: TlsFiles;
  log: Log;
}): Promise<TlsFilePaths> {
  const { directory, tls, log } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  if ((await statfs(directory)).type !== tmpfsMagic) {
    log.warn('private directory for keys is not in memory (tmpfs)', { directory });
  }
  const paths = {
    cert: join(directory, 'node.crt'),
    key: join(directory, 'node.key'),
    ca: join(directory, 'ca.crt'),
  };
  // The key before the certificate: a handshake in between fails either way, and is tried again.
  await replaceFile(paths.key, tls.key, { durable: true });
  await replaceFile(paths.cert, tls.cert, { durable: true });
  await replaceFile(paths.ca, tls.ca, { durable: true });
  return paths;
}
