import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { toVolumeError, VolumeError } from '../../lib/errors.ts';
import type { Run } from '../../lib/exec.ts';
import type { Log } from '../../lib/log.ts';
import { type MountEntry, type MountedVolume, mountedVolumes } from './mount-table.ts';

/** Where servers export a volume: the same for all, so that it says nothing about a host's directories. */
export const exportPath = '/vol';

/**
 * Options of every mount.
 * - `vers=4.1`: sessions make retries after a failover exact; 4.2 would add sparse files and server-side copy, which
 *   have had more bugs on both sides than users here would gain.
 * - `hard`: an application waits for the next server instead of seeing I/O errors, and never loses a write unseen.
 * - `timeo`, `retrans`: only when TCP itself is stuck do they matter, since re-targeting ends the wait long before.
 * - `lookupcache=positive`, `ac*`: close-to-open holds in any case (who opens a file after its writer closed it reads what was
 *   written). These bound what is seen *without* opening: a new file at once, sizes and directories within 5 s
 *   instead of 60, for some more GETATTR calls.
 * - no `noresvport`: servers accept privileged ports only.
 * - `retry=0`: one attempt; the driver tries again itself, with a reason to show.
 */
const baseOptions: readonly string[] = Object.freeze([
  'vers=4.1',
  'proto=tcp',
  'hard',
  'timeo=600',
  'retrans=2',
  'sec=sys',
  'lookupcache=positive',
  'acregmin=1',
  'acregmax=5',
  'acdirmin=1',
  'acdirmax=5',
  'retry=0',
]);

/** The `-o` argument for a volume. @param extra options of the administrator; they come last and win. */
export function mountOptions(port: number, extra = ''): string {
  return [...baseOptions, `port=${port}`, ...(extra === '' ? [] : [extra])].join(',');
}

/** How an unmount went. */
export type UnmountOutcome =
  | { readonly how: 'clean' }
  /** Detached against resistance; what was not written back may be lost. `reason` says why that was needed. */
  | { readonly how: 'forced' | 'lazy'; readonly reason: string }
  /**
   * Out of the name space, but the kernel still writes data back and waits for the server, so the server must stay in
   * use. `finished` resolves when that is over; it never rejects.
   */
  | { readonly how: 'flushing'; readonly finished: Promise<void> };

/** Mounts and unmounts volumes on this node. */
export interface Mounter {
  /** Where a volume is mounted, whether it is or not. */
  pathOf(volume: string): string;
  /** What is mounted now, from the kernel. */
  mounted(): Promise<MountedVolume[]>;
  /**
   * One attempt.
   * @throws VolumeError `timeout` or, with the text of mount.nfs, `unavailable`.
   */
  mount(request: {
    volume: string;
    address: string;
    port: number;
    timeoutMs: number;
    signal?: AbortSignal;
  }): Promise<void>;
  /** Clean; when that hangs, forced; when that fails or somebody keeps it busy, lazily. Nothing when it is not mounted. @throws VolumeError when none helped. */
  unmount(volume: string): Promise<UnmountOutcome>;
}

/** Time limits of an unmount in ms; together below the 55 s that an Unmount call has. */
export interface UnmountTimes {
  /** Long enough for a failover to end, so that what was written reaches the disk. */
  readonly cleanMs: number;
  readonly forceMs: number;
  readonly lazyMs: number;
}

export const unmountTimes: UnmountTimes = Object.freeze({ cleanMs: 35_000, forceMs: 6_000, lazyMs: 4_000 });

/** A child that hangs in the kernel outlives its KILL: wait for the deadline, not for its end. */
const childGoneMs = 3_600_000;

/** NFS mounts by the helper programs of nfs-common; mounting NFS needs its text options, hence one child process. */
export function createNfsMounter(parts: {
  run: Run;
  clock: Clock;
  log: Log;
  mountRoot: string;
  /** Reads the mount table; a seam. */
  mountTable: () => Promise<MountEntry[]>;
  /** Further mount options of the administrator. */
  extraOptions?: string;
  times?: UnmountTimes;
}): Mounter {
  const { run, clock, log, mountRoot, mountTable, extraOptions = '', times = unmountTimes } = parts;
  const pathOf = (volume: string): string => join(mountRoot, volume);
  const mounted = async (): Promise<MountedVolume[]> => mountedVolumes(await mountTable(), mountRoot);
  const isMounted = async (volume: string): Promise<boolean> =>
    (await mounted()).some((mount) => mount.volume === volume);

  /** Starts `umount` and waits up to `timeoutMs`; `ended` goes on being watched. */
  const umount = async (
    args: readonly string[],
    timeoutMs: number,
  ): Promise<{ ended: Promise<string>; result: string | undefined }> => {
    // Internal only and without looking at the path: both could ask the server that does not answer.
    const ended = run('umount', ['-i', '-c', '-n', ...args], { timeoutMs: childGoneMs }).then(
      () => '',
      (thrown: unknown) => toVolumeError(thrown).message,
    );
    const over = new AbortController();
    const result = await Promise.race([
      ended,
      clock.sleep(timeoutMs, over.signal).then(
        () => undefined,
        () => undefined,
      ),
    ]);
    over.abort();
    return { ended, result };
  };

  return {
    pathOf,
    mounted,
    async mount({ volume, address, port, timeoutMs, signal }) {
      const path = pathOf(volume);
      await mkdir(path, { recursive: true });
      const args = [`${address}:${exportPath}`, path, '-n', '-o', mountOptions(port, extraOptions)];
      try {
        await run('/sbin/mount.nfs4', args, { timeoutMs, ...(signal ? { signal } : {}) });
      } catch (cause) {
        const error = toVolumeError(cause);
        const code = error.code === 'timeout' ? 'timeout' : 'unavailable';
        throw new VolumeError(code, `mounting ${address}:${port}: ${error.message}`, { cause });
      }
    },

    async unmount(volume) {
      const path = pathOf(volume);
      // More than one when an earlier process mounted over a mount.
      for (let layers = 0; await isMounted(volume); layers += 1) {
        if (layers === 8) throw new VolumeError('busy', `${path} is still mounted after ${layers} unmounts`);
        const clean = await umount([path], times.cleanMs);
        if (clean.result === '') continue;
        if (clean.result === undefined && !(await isMounted(volume))) {
          return { how: 'flushing', finished: clean.ended.then(() => undefined) };
        }
        const reason = clean.result ?? `umount did not end within ${times.cleanMs / 1000} s`;
        if (clean.result === undefined) {
          log.warn('unmount hangs, forcing it: data not yet written back may be lost', { volume, reason });
          await umount(['-f', path], times.forceMs);
          if (!(await isMounted(volume))) return { how: 'forced', reason };
        }
        // Never forced when merely busy: that would fail the I/O of whoever keeps it busy. Detached, they can go on.
        const lazy = await umount(['-l', path], times.lazyMs);
        if (!(await isMounted(volume))) {
          log.warn('unmounted lazily: it ends when the last process lets go', { volume, reason });
          return { how: 'lazy', reason };
        }
        throw new VolumeError('busy', `cannot unmount ${path}: ${lazy.result ?? 'umount -l hangs'}`);
      }
      // Not empty would mean that somebody wrote into the directory while nothing was mounted: keep that.
      await rmdir(path).catch(() => undefined);
      return { how: 'clean' };
    },
  };
}
