import type { Inherited } from './ganesha-process.ts';
import type { HeldPort, HoldPort } from './hold-port.ts';
import type { VolumeLayout } from './layout.ts';
import { renderGanesha } from './render-ganesha.ts';
import type { ReplyPermit } from './reply-permit.ts';
import type { FileServerSettings } from './settings.ts';

/** What a place is made of. */
export interface PlaceOptions {
  readonly settings: FileServerSettings;
  /** The node's. */
  readonly address: string;
  readonly readOnly: boolean;
  readonly layout: VolumeLayout;
  readonly holdPort: HoldPort;
  readonly permit: Pick<ReplyPermit, 'fd'>;
}

/** Where and how the volume is served on this node, by whichever process: the address, the socket, the configuration. */
export class ServerPlace {
  readonly #options: PlaceOptions;
  #held: HeldPort | undefined;

  constructor(options: PlaceOptions) {
    this.#options = options;
  }

  get readOnly(): boolean {
    return this.#options.readOnly;
  }

  get address(): string {
    return this.#options.address;
  }

  /** What each process gets: the socket, bound once and kept, and what permits its answers. */
  inherited(): Inherited {
    const { address, settings, holdPort, permit } = this.#options;
    this.#held ??= holdPort(address, settings.port);
    return { listenFd: this.#held?.fd, permitFd: permit.fd };
  }

  /** The configuration that lets these addresses mount. */
  config(clients: readonly string[]): string {
    const { settings, address, readOnly, layout } = this.#options;
    return renderGanesha({
      volume: settings.volume,
      address,
      port: settings.port,
      exportPath: layout.data,
      recoveryPath: layout.recovery,
      leaseSeconds: settings.nfsLeaseSeconds,
      graceSeconds: settings.nfsGraceSeconds,
      readOnly,
      clients,
    });
  }

  /** Closes the socket. */
  close(): void {
    this.#held?.close();
    this.#held = undefined;
  }
}
