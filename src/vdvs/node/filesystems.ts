import { open } from 'node:fs/promises';
import { VolumeError } from '../../lib/errors.ts';
import type { Run, RunOptions } from '../../lib/exec.ts';
import { whileHeld } from './held-device.ts';
import { parseSuperblock, type Superblock, superblockBytes } from './superblock.ts';

/** File systems on block devices of this host. */
export interface Filesystems {
  /** `undefined` when the disk is blank. */
  look(device: string): Promise<Superblock | undefined>;
  /** Makes a file system with this UUID. `blank`: all bytes of the disk are known to be zero. */
  make(
    device: string,
    fs: { fstype: string; uuid: string; blank: boolean },
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * Repairs what an unclean end left behind and the kernel does not repair as it mounts.
   * @throws VolumeError `internal` when an administrator is needed.
   */
  check(device: string, fstype: string, signal: AbortSignal): Promise<void>;
  /**
   * Gives a file system that is not mounted and whose log is clean another UUID.
   * @throws VolumeError `internal` when it does not have it afterwards.
   */
  giveUuid(device: string, fs: { fstype: string; uuid: string }, signal: AbortSignal): Promise<void>;
  /** Grows a mounted file system to the size of its device; nothing happens when it has it. */
  grow(mount: { device: string; mountpoint: string; fstype: string }): Promise<void>;
  /** @param held what the program is to hold: see `whileHeld`. */
  mount(
    device: string,
    path: string,
    fstype: string,
    readOnly: boolean,
    held?: Pick<RunOptions, 'hold'>,
  ): Promise<void>;
  /** Makes a mounted file system read-only. */
  remountReadOnly(path: string): Promise<void>;
  /** Writes out what the file system holds back. */
  sync(path: string): Promise<void>;
  /** @returns false when something uses it. */
  unmount(path: string): Promise<boolean>;
  /** Takes the mount of a device out of sight; what uses it keeps it, and its loop device, until it ends. */
  unmountLazily(mount: { device: string; mountpoint: string }): Promise<void>;
}

/** Options of `mount -o`, by file system. */
export type MountOptions = Readonly<Record<string, string>>;

const times = {
  makeMs: 60_000,
  checkMs: 80_000,
  mountMs: 60_000,
  syncMs: 30_000,
  unmountMs: 30_000,
} as const;

/** e2fsck: 0 clean, 1 and 2 errors that are corrected now. */
const e2fsckOk = [0, 1, 2] as const;

/** The system's tools. */
export function createFilesystems({
  run,
  mountOptions,
}: {
  run: Run;
  mountOptions: MountOptions;
}): Filesystems {
  const look = async (device: string): Promise<Superblock | undefined> => {
    const disk = await open(device, 'r');
    try {
      const { buffer } = await disk.read(Buffer.alloc(superblockBytes), 0, superblockBytes, 0);
      return parseSuperblock(buffer);
    } finally {
      await disk.close();
    }
  };

  return {
    look,
    async make(device, { fstype, uuid, blank }, signal) {
      const zeroed = blank ? ',assume_storage_prezeroed=1' : '';
      const args: Readonly<Record<string, readonly string[]>> = {
        // No reserve for root: the whole volume is one application's.
        ext4: ['-q', '-F', '-m', '0', '-U', uuid, '-E', `lazy_itable_init=1,nodiscard${zeroed}`, device],
        xfs: ['-q', '-f', '-K', '-m', `uuid=${uuid}`, device],
      };
      const chosen = args[fstype];
      if (!chosen) throw new VolumeError('invalid', `file system ${fstype} cannot be made here`);
      await run(`mkfs.${fstype}`, chosen, { timeoutMs: times.makeMs, signal });
    },
    async check(device, fstype, signal) {
      // xfs replays its log when it is mounted and has nothing else to repair after a crash.
      if (fstype !== 'ext4') return;
      // So does ext4 with its journal, for which e2fsck would do no more, and clients wait: but not with what went wrong before.
      if ((await look(device))?.sound) return;
      const { exitCode, stdout } = await run('e2fsck', ['-p', device], {
        timeoutMs: times.checkMs,
        signal,
        okCodes: [...e2fsckOk, 4],
      });
      if (exitCode === 4) {
        const why = stdout.split('\n').slice(-3).join('; ');
        throw new VolumeError('internal', `the file system is damaged and needs e2fsck by hand: ${why}`);
      }
    },
    async giveUuid(device, { fstype, uuid }, signal) {
      const tools: Readonly<Record<string, readonly [string, readonly string[]]>> = {
        ext4: ['tune2fs', ['-U', uuid, device]],
        xfs: ['xfs_db', ['-x', '-c', `uuid ${uuid}`, device]],
      };
      const [tool, args] = tools[fstype] ?? [];
      if (!tool || !args)
        throw new VolumeError('invalid', `file system ${fstype} cannot get another UUID here`);
      if (fstype === 'ext4') {
        // tune2fs wants to know that nothing is wrong; all of it, since its checksums may hang on the UUID.
        await run('e2fsck', ['-f', '-p', device], { timeoutMs: times.checkMs, signal, okCodes: e2fsckOk });
      }
      const { stderr } = await run(tool, args, { timeoutMs: times.makeMs, signal });
      // xfs_db ends with success whatever happened.
      if ((await look(device))?.uuid === uuid) return;
      throw new VolumeError('internal', `${tool} did not give the file system its UUID: ${stderr}`);
    },
    async grow({ device, mountpoint, fstype }) {
      if (fstype === 'xfs') await run('xfs_growfs', [mountpoint], { timeoutMs: times.makeMs });
      else await run('resize2fs', [device], { timeoutMs: times.makeMs });
    },
    async mount(device, path, fstype, readOnly, held) {
      const options = [readOnly ? 'ro' : 'rw', mountOptions[fstype] ?? '']
        .filter((one) => one !== '')
        .join(',');
      await run('mount', ['-t', fstype, '-o', options, device, path], {
        timeoutMs: times.mountMs,
        ...held,
      });
    },
    async remountReadOnly(path) {
      await run('mount', ['-o', 'remount,ro', path], { timeoutMs: times.mountMs });
    },
    async sync(path) {
      await run('sync', ['-f', path], { timeoutMs: times.syncMs });
    },
    async unmount(path) {
      // 32: busy, or not mounted; which of them the mount table tells.
      const { exitCode } = await run('umount', [path], { timeoutMs: times.unmountMs, okCodes: [0, 32] });
      return exitCode === 0;
    },
    async unmountLazily({ device, mountpoint }) {
      // It detaches the device a moment after it has unmounted it.
      await whileHeld(device, (held) =>
        run('umount', ['-l', '-d', mountpoint], { timeoutMs: times.unmountMs, okCodes: [0, 32], ...held }),
      );
    },
  };
}
