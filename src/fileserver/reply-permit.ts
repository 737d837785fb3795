import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';

/** Until when the server may answer; it looks before each answer (`ganesha-shim.c`, `sendmsg`). A seam for tests. */
export interface ReplyPermit {
  /** The file in which it is written, for server processes to inherit. */
  readonly fd: number;
  /** @param until by `Clock.monotonic`, ms. */
  allowUntil(until: number): void;
  close(): void;
}

/** ns since the host's start, suspensions included (CLOCK_BOOTTIME), not rounded up; the kernel tells hundredths of seconds. */
function uptimeNs(): bigint {
  const [seconds = '', hundredths = ''] =
    readFileSync('/proc/uptime', 'utf8').split(' ')[0]?.split('.') ?? [];
  return BigInt(seconds) * 1_000_000_000n + BigInt(hundredths) * 10_000_000n;
}

/**
 * In a file that has no name any more, of two equal numbers, so that a reader knows one that is just being written. Nothing is
 * allowed at first.
 * @param dir where the file may be made; a mapping of it is shared with the processes.
 */
export function createReplyPermit(dir: string, clock: Clock): ReplyPermit {
  const path = join(dir, 'permit');
  rmSync(path, { force: true });
  const fd = openSync(path, 'wx+', 0o600);
  rmSync(path);
  writeSync(fd, Buffer.alloc(16), 0, 16, 0);
  return {
    fd,
    allowUntil(until) {
      // In this order: should this host stand still between the two looks, the permit ends too early rather than too late.
      const uptime = uptimeNs();
      const leftNs = BigInt(Math.max(0, Math.floor((until - clock.monotonic()) * 1e6)));
      const both = Buffer.alloc(16);
      both.writeBigUInt64LE(uptime + leftNs, 0);
      both.writeBigUInt64LE(uptime + leftNs, 8);
      writeSync(fd, both, 0, 16, 0);
    },
    close: () => closeSync(fd),
  };
}
