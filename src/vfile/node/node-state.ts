import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { toVolumeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { replaceFile } from '../../lib/replace-file.ts';

const volumeTransports = z.object({ port: z.number().int(), transports: z.array(z.string()) });

const schema = z.object({
  v: z.literal(1),
  /** Boot of the kernel that `transports` belong to. */
  boot: z.string(),
  /** Volumes in use on this node, with the transports that were theirs. */
  inUse: z.record(z.string(), volumeTransports),
  /** The node as the engine last told. */
  node: z.object({ nodeId: z.string(), address: z.string(), hostname: z.string() }).optional(),
  /** Addresses of the managers. */
  managers: z.array(z.string()),
  /** Every volume that was known to exist, with the time of its creation (RFC 3339). */
  known: z.record(z.string(), z.string()),
});

/** What a plugin leaves for its next start on this node. None of it is needed for correctness. */
export type NodeMemory = Omit<z.infer<typeof schema>, 'v' | 'boot'>;

/**
 * Memory of this node across restarts, for the time in which neither etcd nor the engine answers: plugins start before
 * the engine's API, and after a power cut of all hosts long before etcd, yet the engine asks for its volumes at once.
 */
export interface NodeState {
  readonly memory: NodeMemory;
  /** Whether the host was started again since the memory was written; false when that is not known. */
  readonly rebooted: boolean;
  /** Changes the memory and writes it out soon. */
  update(change: Partial<NodeMemory>): void;
  /** Resolves when all that was changed is in the file. */
  saved(): Promise<void>;
}

const nothing: NodeMemory = { inUse: {}, managers: [], known: {} };

async function load(
  path: string,
  boot: string,
  log: Log,
): Promise<{ memory: NodeMemory; rebooted: boolean }> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return { memory: nothing, rebooted: false };
  }
  try {
    const { v: _v, boot: savedBoot, ...memory } = schema.parse(JSON.parse(text));
    // Transports and mounts end with the kernel; their IDs come again for others.
    if (savedBoot === boot) return { memory, rebooted: false };
    return { memory: { ...memory, inUse: {} }, rebooted: true };
  } catch (thrown) {
    log.warn('ignored a damaged state file', { path, error: toVolumeError(thrown).message });
    return { memory: nothing, rebooted: false };
  }
}

/** Opens the memory in `path`. @param boot the kernel's boot ID. */
export async function openNodeState(parts: { path: string; boot: string; log: Log }): Promise<NodeState> {
  const { path, boot, log } = parts;
  const loaded = await load(path, boot, log);
  let { memory } = loaded;
  let dirty = false;
  let durable = false;
  let writing: Promise<void> | undefined;

  const write = async (): Promise<void> => {
    while (dirty) {
      const sync = durable;
      dirty = false;
      durable = false;
      try {
        await mkdir(dirname(path), { recursive: true });
        await replaceFile(path, JSON.stringify({ v: 1, boot, ...memory }), { durable: sync });
      } catch (thrown) {
        log.warn('cannot write the state file', { path, error: toVolumeError(thrown).message });
      }
    }
  };

  const startWriting = (): void => {
    writing ??= write().finally(() => {
      writing = undefined;
      if (dirty) startWriting();
    });
  };

  return {
    rebooted: loaded.rebooted,
    get memory() {
      return memory;
    },
    update(change) {
      memory = { ...memory, ...change };
      dirty = true;
      if (Object.keys(change).some((key) => key !== 'inUse')) durable = true;
      startWriting();
    },
    async saved() {
      while (writing) await writing;
    },
  };
}
