import { noop } from 'cockatiel';
import { ClusterClient, type IOptions, KVClient, LeaseClient, MaintenanceClient, WatchClient } from 'etcd3';
import { ConnectionPool } from 'etcd3/lib/connection-pool.js';
import { managerServerName, type TlsFiles } from '../lib/node-identity.ts';
import { NotConnected } from './etcd-errors.ts';

type WithConnection = ConnectionPool['withConnection'];
type Connection = Parameters<Parameters<WithConnection>[1]>[0];

/** How long connecting (TCP and TLS) may take before another member is tried, in ms. */
const connectTimeoutMs = 1_000;

/** As in gRPC's connectivity states; the enum itself belongs to a package we do not depend on. */
const state = { ready: 2, transientFailure: 3, shutdown: 4 } as const;

/**
 * A member that lost power sends nothing, so silence must be noticed: a ping after two seconds, and one and a half to
 * answer it. etcd by default punishes pings more often than every 5 s: our members run with
 * `--grpc-keepalive-min-time=500ms`.
 */
const channelOptions = {
  'grpc.keepalive_time_ms': 2_000,
  'grpc.keepalive_timeout_ms': 1_500,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
} as const;

/** Waits until the channel is usable, or is known not to be (then the call itself fails at once, with the reason). */
function connected({ client }: Connection, address: string): Promise<void> {
  const channel = client.getChannel();
  const deadline = Date.now() + connectTimeoutMs;
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const now: number = channel.getConnectivityState(true);
      if (now === state.ready || now === state.transientFailure) resolve();
      else if (now === state.shutdown) reject(new NotConnected(`connection to ${address} was closed`));
      else {
        channel.watchConnectivityState(now, deadline, (error) => {
          if (error) reject(new NotConnected(`${address} did not answer within ${connectTimeoutMs} ms`));
          else look();
        });
      }
    };
    look();
  });
}

/**
 * One member's connections. The library's own retry and circuit breaker are off: which member is tried when is
 * decided above, in one place.
 */
class MemberPool extends ConnectionPool {
  readonly #address: string;

  constructor(address: string, options: IOptions) {
    super(options);
    this.#address = address;
  }

  override async withConnection<T>(...[service, fn, hosts]: Parameters<WithConnection>): Promise<T> {
    // Failures are carried past the library as values: it would answer each by tearing all connections down, also
    // those that merely brought the news that the cluster has no leader.
    const guarded = async (connection: Connection): Promise<{ value: T } | { thrown: unknown }> => {
      try {
        await connected(connection, this.#address);
        // A member that is cut off from its peers refuses, and ends watches, instead of serving what it last knew.
        connection.metadata.set('hasleader', 'true');
        return { value: (await fn(connection)) as T };
      } catch (thrown) {
        return { thrown };
      }
    };
    const outcome = await super.withConnection(service, guarded, hosts);
    if ('thrown' in outcome) throw outcome.thrown;
    return outcome.value;
  }

  override markFailed(): void {
    // As above: a stream's end says nothing about the connection.
  }
}

/** Raw service clients of one etcd member. */
export interface MemberClient {
  readonly address: string;
  readonly kv: KVClient;
  readonly lease: LeaseClient;
  readonly watch: WatchClient;
  readonly cluster: ClusterClient;
  readonly maintenance: MaintenanceClient;
  /** Closes the connections; streams that run are not ended by it. */
  close(): void;
}

/** A client of the member at `address` (`host:port`); without `tls` in plain text, which only tests do. */
export function createMemberClient(address: string, tls: TlsFiles | undefined): MemberClient {
  const faultHandling = { global: noop, host: () => noop };
  const pool = new MemberPool(
    address,
    tls
      ? {
          hosts: `https://${address}`,
          faultHandling,
          credentials: {
            rootCertificate: Buffer.from(tls.ca),
            privateKey: Buffer.from(tls.key),
            certChain: Buffer.from(tls.cert),
          },
          grpcOptions: {
            ...channelOptions,
            'grpc.ssl_target_name_override': managerServerName,
            'grpc.default_authority': managerServerName,
          },
        }
      : { hosts: `http://${address}`, faultHandling, grpcOptions: { ...channelOptions } },
  );
  return {
    address,
    kv: new KVClient(pool),
    lease: new LeaseClient(pool),
    watch: new WatchClient(pool),
    cluster: new ClusterClient(pool),
    maintenance: new MaintenanceClient(pool),
    close: () => pool.close(),
  };
}
