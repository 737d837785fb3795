import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname } from 'node:path';
import { z } from 'zod';

const fileSchema = z.array(z.string().refine((text) => isIP(text) !== 0));

/** The managers' addresses as this node last knew them. */
export interface ManagersFile {
  /** Empty when nothing usable was kept. */
  read(): string[];
  write(addresses: readonly string[]): void;
}

/**
 * Keeps the addresses over a power cut. An engine that starts asks for the volumes of its containers before its own API
 * answers, so a plugin that had to ask it where the managers are would keep it waiting for a minute per volume.
 */
export function createManagersFile(path: string): ManagersFile {
  return {
    read() {
      try {
        return fileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
      } catch {
        return [];
      }
    },
    write(addresses) {
      mkdirSync(dirname(path), { recursive: true });
      const file = openSync(`${path}.new`, 'w', 0o600);
      try {
        writeSync(file, JSON.stringify(addresses));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(`${path}.new`, path);
    },
  };
}
