import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';

const stateSchema = z.object({
  v: z.literal(1),
  bootId: z.string(),
  lease: z.string(),
  /** Until when the lease certainly exists, in ms of the host's monotonic clock (the same for all processes). */
  safeUntilHostMs: z.number(),
  endpoints: z.array(z.string()),
});

/** What the guard needs to know of its earlier life. */
export type GuardState = z.infer<typeof stateSchema>;

/** Where the guard keeps its state: over restarts of the process, useless after a restart of the host. */
export interface GuardStateFile {
  read(): GuardState | undefined;
  write(state: GuardState): void;
}

/** A file that is replaced as a whole; not synced, because it only matters while the host lives. */
export function createGuardStateFile(path: string): GuardStateFile {
  return {
    read() {
      try {
        return stateSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
      } catch {
        return undefined;
      }
    },
    write(state) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(`${path}.new`, JSON.stringify(state));
      renameSync(`${path}.new`, path);
    },
  };
}
