/** PEM texts for a mutual-TLS connection. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/**
 * Who this node is, by the certificate that Swarm gave it: CN = node ID, OU = role, O = cluster ID.
 * Implemented in `swarm-certificates.ts`.
 */
export interface NodeIdentity {
  readonly nodeId: string;
  readonly role: 'swarm-manager' | 'swarm-worker';
  readonly clusterId: string;
  readonly tls: TlsFiles;
}

/** Follows the certificate files; Swarm renews them and changes them with the node's role. */
export interface NodeIdentitySource {
  /** The newest identity that could be read. @throws VolumeError `unavailable` saying which file and why. */
  current(): Promise<NodeIdentity>;
  /** Calls back after each change of the files. Returns the way to stop it. */
  onChange(callback: (identity: NodeIdentity) => void): () => void;
  stop(): void;
}

/** The name that the certificate of every manager holds, and no worker's: what clients require of a server. */
export const managerServerName = 'swarm-manager';
