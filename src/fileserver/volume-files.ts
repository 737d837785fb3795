import { type FileHandle, open, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { type Run, run as runHere } from '../lib/exec.ts';
import type { Log } from '../lib/log.ts';
import { handOverName, inUseName, isAttached, isShutDown, keepName, receivesMounts } from './attachment.ts';
import { type VolumeLayout, volumeLayout } from './layout.ts';
import { prepareVolume } from './prepare-volume.ts';
import { type CleanedRecords, cleanRecoveryRecords, recordedClients } from './recovery-records.ts';
import { RecoverySync } from './recovery-sync.ts';
import { createWriteProbe, type WriteProbe } from './write-probe.ts';

/** Longer than anybody waits: what is being written out cannot be called off. In ms. */
const flushTimeoutMs = 60_000;

/** The mounted block volume and what is around it, as the supervisor uses it; a seam for tests. */
export interface VolumeFiles {
  readonly layout: VolumeLayout;
  readonly writeProbe: WriteProbe;
  /** See `isAttached`. */
  attached(): Promise<boolean>;
  /** See `isShutDown`. */
  shutDown(): Promise<boolean>;
  /** See `receivesMounts`. */
  receivesMounts(): Promise<boolean>;
  /** See `prepareVolume`. */
  prepare(options: {
    volume: string;
    servedBefore: boolean;
    readOnly: boolean;
    root: { readonly uid?: number; readonly gid?: number; readonly mode?: number };
  }): Promise<void>;
  /** See `cleanRecoveryRecords`. */
  cleanRecords(mayReturn: (address: string) => boolean): Promise<CleanedRecords>;
  /** See `recordedClients`. */
  recordedClients(before: string | undefined): Promise<string[]>;
  /** Keeps the records of clients durable until the answer is called. */
  followRecords(): Promise<() => void>;
  /** Size and use of the file system in bytes. */
  capacity(): Promise<{ size: number; used: number }>;
  /** Writes out what the kernel holds of the file system. */
  flush(): Promise<void>;
  /** From now on vDVS takes the disk away when this process ends, however it does, or lets go of it; see `inUseName`. */
  holdDisk(): Promise<void>;
  /** Lets vDVS take the disk away now; see `handOverName`. Nothing else on it may be open any more. */
  handOver(): Promise<void>;
  /** Has the disk stay until Docker has taken the container apart; see `keepName`. */
  keepDisk(): Promise<void>;
  /** Ends `holdDisk`; done twice it is done once. */
  letGoOfDisk(): Promise<void>;
}

/** The volume mounted at `exportRoot`. */
export function openVolumeFiles(options: {
  exportRoot: string;
  /** Under which ganesha keeps its records: the host's name, the same on every host. */
  host: string;
  run?: Run;
  clock: Clock;
  log: Log;
}): VolumeFiles {
  const { exportRoot, host, run = runHere, clock, log } = options;
  const layout = volumeLayout(exportRoot);
  let held: Promise<FileHandle> | undefined;
  const inRoot = (name: string) => join(exportRoot, name);
  const letGoOfDisk = async (): Promise<void> => {
    const file = await held?.catch(() => undefined);
    held = undefined;
    await file?.close();
  };
  return {
    layout,
    writeProbe: createWriteProbe({ path: layout.probe, clock }),
    attached: () => isAttached(exportRoot),
    shutDown: () => isShutDown(exportRoot),
    receivesMounts: () => receivesMounts(exportRoot),
    prepare: async (how) => {
      await prepareVolume({ ...how, layout, run, log });
    },
    cleanRecords: (mayReturn) => cleanRecoveryRecords(layout.recovery, host, mayReturn),
    recordedClients: (before) => recordedClients(layout.recovery, host, before),
    followRecords: async () => {
      const sync = new RecoverySync({ recoveryRoot: layout.recovery, log });
      await sync.start();
      return () => sync.stop();
    },
    capacity: async () => {
      const { bsize, blocks, bfree } = await statfs(exportRoot);
      return { size: blocks * bsize, used: (blocks - bfree) * bsize };
    },
    flush: async () => {
      await run('sync', ['--file-system', exportRoot], { timeoutMs: flushTimeoutMs });
    },
    holdDisk: async () => {
      held ??= open(inRoot(inUseName), 'w', 0o600);
      await held;
    },
    handOver: async () => {
      await writeFile(inRoot(handOverName), '');
      await letGoOfDisk();
    },
    keepDisk: async () => {
      if (held) await writeFile(inRoot(keepName), '');
    },
    letGoOfDisk,
  };
}
