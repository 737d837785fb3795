import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from './clock.ts';
import { toVolumeError, VolumeError } from './errors.ts';
import type { Log } from './log.ts';
import type { NodeIdentity, NodeIdentitySource, TlsFiles } from './node-identity.ts';
import { isEncryptedKey, stripPemHeaders } from './pem.ts';

/** Names of the three files in the directory; whoever has a PKI of their own puts theirs under the same names. */
const names = { cert: 'swarm-node.crt', key: 'swarm-node.key', ca: 'swarm-root-ca.crt' } as const;

/** What a source of identity needs. */
export interface SwarmCertificatesOptions {
  /** Where the node's certificate files are: setting `VFILE_CERTIFICATES`. */
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
  /** How often the files are looked at, in ms; default 2 s. */
  readonly pollMs?: number;
}

function subjectField(certificate: X509Certificate, field: string): string | undefined {
  const line = certificate.subject.split('\n').find((part) => part.startsWith(`${field}=`));
  return line?.slice(field.length + 1);
}

/**
 * The identity that three PEM texts give. Pure.
 * @throws VolumeError `unavailable` naming what is wrong with which file.
 */
export function parseIdentity(files: TlsFiles, directory: string): NodeIdentity {
  const path = (name: keyof typeof names): string => join(directory, names[name]);
  if (isEncryptedKey(files.key)) {
    throw new VolumeError(
      'unavailable',
      `${path('key')} is encrypted because this Swarm is locked (autolock), so it cannot be used: turn autolock off ` +
        '(docker swarm update --autolock=false), or set VFILE_CERTIFICATES to a directory with certificates of your own ' +
        `named ${Object.values(names).join(', ')} (CN node ID, OU swarm-manager or swarm-worker, O cluster ID, and the ` +
        'OU and the CN as DNS names)',
    );
  }
  const key = stripPemHeaders(files.key);
  const broken = (name: keyof typeof names, thrown: unknown): VolumeError =>
    new VolumeError('unavailable', `${path(name)} cannot be used: ${toVolumeError(thrown).message}`, {
      cause: thrown,
    });
  const certificate = attempt(
    () => new X509Certificate(files.cert),
    (thrown) => broken('cert', thrown),
  );
  const privateKey = attempt(
    () => createPrivateKey(key),
    (thrown) => broken('key', thrown),
  );
  attempt(
    () => new X509Certificate(files.ca),
    (thrown) => broken('ca', thrown),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new VolumeError('unavailable', `${path('key')} does not belong to ${path('cert')}`);
  }
  const [nodeId, role, clusterId] = ['CN', 'OU', 'O'].map((field) => subjectField(certificate, field));
  if (!nodeId || !clusterId || (role !== 'swarm-manager' && role !== 'swarm-worker')) {
    const subject = certificate.subject.replaceAll('\n', ', ');
    throw new VolumeError(
      'unavailable',
      `${path('cert')} names "${subject}"; needed are CN (node ID), OU (swarm-manager or swarm-worker), O (cluster ID)`,
    );
  }
  return { nodeId, role, clusterId, tls: { cert: files.cert, key, ca: files.ca } };
}

function attempt<T>(act: () => T, failed: (thrown: unknown) => VolumeError): T {
  try {
    return act();
  } catch (thrown) {
    throw failed(thrown);
  }
}

class SwarmCertificates implements NodeIdentitySource {
  readonly #options: SwarmCertificatesOptions;
  readonly #callbacks = new Set<(identity: NodeIdentity) => void>();
  readonly #stop = new AbortController();
  #known: { identity: NodeIdentity; signature: string } | undefined;
  #problem: string | undefined;

  constructor(options: SwarmCertificatesOptions) {
    this.#options = options;
    // The only rejection is that of the sleep cut short by stop().
    this.#follow().catch(() => undefined);
  }

  async current(): Promise<NodeIdentity> {
    try {
      return await this.#look();
    } catch (thrown) {
      // Half-replaced files: what was valid a moment ago is still better than nothing.
      if (this.#known) return this.#known.identity;
      throw thrown;
    }
  }

  onChange(callback: (identity: NodeIdentity) => void): () => void {
    this.#callbacks.add(callback);
    return () => void this.#callbacks.delete(callback);
  }

  stop(): void {
    this.#stop.abort();
    this.#callbacks.clear();
  }

  async #follow(): Promise<void> {
    const { clock, log, directory, pollMs = 2_000 } = this.#options;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#look();
        this.#problem = undefined;
      } catch (thrown) {
        const { message } = toVolumeError(thrown);
        // Swarm replaces the key before the certificate: only what is still wrong at the second look is news.
        if (this.#problem === '') log.warn('node certificate cannot be read', { directory, why: message });
        this.#problem = this.#problem === undefined ? '' : message;
      }
      await clock.sleep(pollMs, this.#stop.signal);
    }
  }

  async #look(): Promise<NodeIdentity> {
    const paths = Object.values(names).map((name) => join(this.#options.directory, name));
    const signature = await this.#signature(paths);
    if (this.#known?.signature === signature) return this.#known.identity;
    const [cert = '', key = '', ca = ''] = await Promise.all(paths.map((path) => readFile(path, 'utf8')));
    const identity = parseIdentity({ cert, key, ca }, this.#options.directory);
    // Read while they were being replaced: the next look sees all of the new ones.
    if ((await this.#signature(paths)) !== signature)
      throw new VolumeError('unavailable', 'certificates are changing');
    // Another look, begun at the same time, was faster: one identity for one set of files.
    if (this.#known?.signature === signature) return this.#known.identity;
    const before = this.#known?.identity;
    this.#known = { identity, signature };
    const same =
      before && (['cert', 'key', 'ca'] as const).every((part) => before.tls[part] === identity.tls[part]);
    if (before && !same && !this.#stop.signal.aborted) {
      this.#options.log.info('node certificate changed', { node: identity.nodeId, role: identity.role });
      for (const callback of [...this.#callbacks]) callback(identity);
    }
    return identity;
  }

  async #signature(paths: readonly string[]): Promise<string> {
    try {
      const stats = await Promise.all(paths.map((path) => stat(path)));
      return stats.map(({ ino, mtimeMs, size }) => `${ino}:${mtimeMs}:${size}`).join(' ');
    } catch (thrown) {
      throw new VolumeError(
        'unavailable',
        `no node certificate: ${toVolumeError(thrown).message}. Is this node part of a Swarm (docker swarm init or join)?`,
        { cause: thrown },
      );
    }
  }
}

/** Follows the certificate that Swarm gave this node; begins to look at the files at once, until `stop()`. */
export function createSwarmCertificates(options: SwarmCertificatesOptions): NodeIdentitySource {
  return new SwarmCertificates(options);
}
