import { readdir, readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { VolumeError } from '../../lib/errors.ts';
import type { FileWriter, WriteOptions } from './kept-writers.ts';

/** A TCP transport of the kernel's RPC client. */
export interface Transport {
  /** Path below `xprt-switches`, for example `switch-3/xprt-4-tcp`. Unique while the transport lives; then reused. */
  readonly id: string;
  /** Address it connects to, as the kernel shows it. */
  readonly address: string;
  readonly connected: boolean;
  /** Port at the other end. The kernel tells it only while the transport is connected. */
  readonly port: number | undefined;
}

/** The kernel's transports, through sysfs. */
export interface Transports {
  /** All TCP transports of this network name space; those that vanish meanwhile are left out. */
  scan(): Promise<Transport[]>;
  /** `undefined` when it is gone. */
  read(id: string): Promise<Transport | undefined>;
  /**
   * Points a transport at an IPv4 address (the port stays) and checks that the kernel took it. Disconnects at once,
   * also when the address is the one it has.
   * @throws VolumeError `timeout` when the kernel holds the transport's lock for longer than `timeoutMs`, `not_found`
   *   when it is gone, `invalid` for an IPv6 address, `internal` when the kernel shows another address afterwards.
   */
  aim(id: string, address: string, options: WriteOptions): Promise<void>;
}

/** `dst_port` of `xprt_info`; `undefined` for a transport that is not connected. */
export function parseDestinationPort(xprtInfo: string): number | undefined {
  const port = /^dst_port=(\d+)$/m.exec(xprtInfo)?.[1];
  return port === undefined || port === '0' ? undefined : Number(port);
}

/** Whether `xprt_state` says that the transport is connected. */
export function parseConnected(xprtState: string): boolean {
  return (xprtState.split('\n')[0] ?? '').split(/[\s=]+/).includes('CONNECTED');
}

function isGone(thrown: unknown): boolean {
  return (
    thrown instanceof Error && 'code' in thrown && (thrown.code === 'ENOENT' || thrown.code === 'ENODEV')
  );
}

/** Contents of a sysfs file; '' when the kernel refuses (ENOTCONN on a closed transport), undefined when it is gone. */
async function readAttribute(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    return isGone(thrown) ? undefined : '';
  }
}

/**
 * Transports under `/sys/kernel/sunrpc/xprt-switches` (Linux 5.14 and newer).
 *
 * A write takes the transport's lock and waits for as long as a connect is pending. It is done by another process: in
 * this one it would take a thread of the event loop's small pool for that time, and nobody could call it off.
 */
export function createTransports(parts: { writer: FileWriter; switches: string }): Transports {
  const { writer, switches } = parts;

  const list = async (directory: string): Promise<string[]> => {
    try {
      return await readdir(directory);
    } catch {
      // No such directory: no NFS client yet, or the transport's switch is gone.
      return [];
    }
  };

  const read = async (id: string): Promise<Transport | undefined> => {
    const [address, info, state] = await Promise.all(
      ['dstaddr', 'xprt_info', 'xprt_state'].map((name) => readAttribute(join(switches, id, name))),
    );
    if (address === undefined) return undefined;
    return {
      id,
      address: address.trim(),
      connected: parseConnected(state ?? ''),
      port: parseDestinationPort(info ?? ''),
    };
  };

  return {
    async scan() {
      const names = (await list(switches)).filter((name) => name.startsWith('switch-'));
      const ids = await Promise.all(
        names.map(async (name) =>
          (await list(join(switches, name)))
            .filter((xprt) => xprt.startsWith('xprt-') && xprt.endsWith('-tcp'))
            .map((xprt) => `${name}/${xprt}`),
        ),
      );
      const transports = await Promise.all(ids.flat().map(read));
      return transports.filter((transport) => transport !== undefined);
    },
    read,
    async aim(id, address, options) {
      if (!isIPv4(address)) {
        // The kernel parses the text into a buffer of an IPv4 address' size: IPv6 leaves the transport without one.
        throw new VolumeError(
          'invalid',
          `cannot re-target to ${address}: the kernel takes IPv4 addresses only`,
        );
      }
      const path = join(switches, id, 'dstaddr');
      if ((await readAttribute(path)) === undefined) {
        throw new VolumeError('not_found', `transport ${id} is gone`);
      }
      await writer.write(path, address, options);
      const now = (await readAttribute(path))?.trim();
      if (now === undefined) throw new VolumeError('not_found', `transport ${id} is gone`);
      if (now !== address) {
        throw new VolumeError('internal', `transport ${id} shows ${now} after ${address} was written`);
      }
    },
  };
}
