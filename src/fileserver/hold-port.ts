import net from 'node:net';

/** A port that stays open while the server processes behind it come and go. */
export interface HeldPort {
  /** The socket, for a process to inherit: bound; it listens from the first one's `listen` on. */
  readonly fd: number;
  /** Closes it. What nobody has accepted by then is reset. */
  close(): void;
}

/** Holds a port; a seam for tests. */
export type HoldPort = (address: string, port: number) => HeldPort | undefined;

/** What Node makes of a bound socket that it does not listen on; a number is an error. */
type CreateServerHandle = (
  address: string,
  port: number,
  family: 4 | 6,
) => { readonly fd: number; close(): void } | number;

/**
 * Binds the port in this process, which never accepts there; ganesha takes the socket over (`ganesha-shim.c`). When ganesha
 * dies, this keeps it open: the kernel goes on to accept, and what clients send waits for the next ganesha. Without it, a
 * kernel's client whose server dies connects again within a millisecond, is refused, and then waits 3 s.
 *
 * Node has no public way to bind without accepting; `_createServerHandle` is what its cluster module does it with.
 * @returns `undefined` when the port cannot be had so; then ganesha binds it, and clients are refused, which is only slower.
 */
export const holdPort: HoldPort = (address, port) => {
  const { _createServerHandle: create } = net as unknown as { _createServerHandle?: CreateServerHandle };
  if (typeof create !== 'function') return undefined;
  const v4 = net.isIPv4(address);
  // As ganesha does it; with IPv6 switched off it has to bind to the plain address.
  const handle = [create(v4 ? `::ffff:${address}` : address, port, 6)]
    .map((one) => (typeof one === 'number' && v4 ? create(address, port, 4) : one))
    .find((one) => typeof one !== 'number');
  return handle && { fd: handle.fd, close: () => handle.close() };
};
