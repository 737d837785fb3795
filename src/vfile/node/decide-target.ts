import { parkingAddress } from './parking.ts';

/** A start of a file server: another epoch or instance means that connections to the earlier one are dead. */
export interface ServerStart {
  readonly address: string;
  readonly epoch: number;
  readonly instance: number;
}

/** Who serves a volume now, as far as this node knows. */
export type Serving =
  | {
      readonly known: false;
      readonly reason: string;
      /** Who served when it was last known. */
      readonly last?: ServerStart;
    }
  | {
      readonly known: true;
      readonly server: ServerStart | undefined;
      /** It accepts, but does not answer yet. */
      readonly starting?: boolean;
    };

/** Who serves, or served when it was last known. */
export function serverOf(serving: Serving): ServerStart | undefined {
  return serving.known ? serving.server : serving.last;
}

/** What there is to decide for one transport. */
export interface TargetInput {
  readonly serving: Serving;
  /** Whether the server, as far as one is known, does not answer this node. */
  readonly silent: boolean;
  readonly transport: { readonly address: string; readonly connected: boolean };
  /** The start it was last pointed at or mounted from; `undefined` when an earlier process did that. */
  readonly aimedAt: ServerStart | undefined;
  /** Whether somebody accepts at the parking address. */
  readonly parkingOpen: boolean;
}

/** The one next step; after it, look again. */
export type TargetStep =
  | { readonly do: 'leave'; readonly reason: string }
  /** It is right already: remember at what it is aimed. */
  | { readonly do: 'adopt'; readonly server: ServerStart }
  | { readonly do: 'park'; readonly reason: string }
  | { readonly do: 'aim'; readonly server: ServerStart };

/** Whether two records speak of the same start of the same server. */
export function sameStart(a: ServerStart | undefined, b: ServerStart | undefined): boolean {
  return a?.address === b?.address && a?.epoch === b?.epoch && a?.instance === b?.instance;
}

/**
 * Where a transport should point. Pure; the whole of the re-targeting policy.
 *
 * Not known is not gone: while etcd is out of reach a server that answers is left alone. One that does not answer this
 * node is parked whatever etcd says, which costs one that lives no more than a connection, and is gone back to when it
 * answers. A server that started again at the same address is reached through the parking place: its refusals have made
 * the kernel back off meanwhile, and a connection that is accepted ends that.
 */
export function decideTarget({ serving, silent, transport, aimedAt, parkingOpen }: TargetInput): TargetStep {
  const parked = transport.address === parkingAddress;
  const server = serverOf(serving);
  if (!server && !serving.known) return { do: 'leave', reason: serving.reason };
  if (!server || silent) {
    if (parked) return { do: 'leave', reason: 'parked until a server is ready' };
    if (!parkingOpen) return { do: 'leave', reason: 'no server, and nobody listens at the parking place' };
    return {
      do: 'park',
      reason: server ? `the server at ${server.address} does not answer` : 'the server is gone',
    };
  }
  if (!serving.known && !parked) return { do: 'leave', reason: serving.reason };
  if (transport.address !== server.address) return { do: 'aim', server };
  if (sameStart(aimedAt, server)) return { do: 'leave', reason: 'aimed at the server' };
  // Points there since before this process, and the kernel has a connection: that is to whoever serves there now.
  if (!aimedAt && transport.connected) return { do: 'adopt', server };
  if (parkingOpen) return { do: 'park', reason: 'the server was started again at the same address' };
  return { do: 'aim', server };
}
