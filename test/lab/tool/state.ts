import { existsSync, readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { VolumeError } from '../../../src/lib/errors.ts';
import type { HostSpec } from './host-spec.ts';
import type { LabPaths } from './paths.ts';

const labStateSchema = z.object({
  nodes: z.number().int().positive(),
  managers: z.number().int().positive(),
  /** Folder of the hosts' root file system. */
  tree: z.string(),
  /** Image that the hosts' disks are copy-on-write copies of. */
  base: z.string(),
  /** The same image by its name in the cache, which tells what is in it. */
  image: z.string(),
  /** Whether `up` came to its end; false while it works and after it failed. */
  ready: z.boolean(),
  /** Whether the product's stack was asked for. */
  stack: z.boolean(),
});

/** What the lab remembers about itself between commands. */
export type LabState = z.infer<typeof labStateSchema>;

const hostStateSchema = z.object({
  /** The process that started the host's PID namespace. */
  pid: z.number().int().positive(),
  /** Its start time in clock ticks, so that a reused process ID is not taken for it. */
  startTime: z.string(),
});

/** Which process a host is, if it was started. */
export type HostState = z.infer<typeof hostStateSchema>;

/** The lab's state, or undefined when there is no lab. */
export function readLabState(paths: LabPaths): LabState | undefined {
  return readJson(paths.state, labStateSchema);
}

/** Replaces the lab's state. */
export async function writeLabState(paths: LabPaths, state: LabState): Promise<void> {
  await writeJson(paths.state, state);
}

/** Forgets the lab. */
export async function removeLabState(paths: LabPaths): Promise<void> {
  await rm(paths.state, { force: true });
}

const processFile = (host: HostSpec) => join(host.dir, 'process.json');

/** The process last started for this host, or undefined. It may have ended. */
export function readHostState(host: HostSpec): HostState | undefined {
  return readJson(processFile(host), hostStateSchema);
}

/** Remembers the host's process. */
export async function writeHostState(host: HostSpec, state: HostState): Promise<void> {
  await writeJson(processFile(host), state);
}

function readJson<T>(file: string, schema: z.ZodType<T>): T | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return schema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new VolumeError('internal', `${file} is damaged; "lab down" clears it`, { cause });
  }
}

async function writeJson(file: string, value: unknown): Promise<void> {
  const temporary = `${file}.new`;
  await writeFile(temporary, `${JSON.stringify(value, null, 2)}\n`);
  await rename(temporary, file);
}
