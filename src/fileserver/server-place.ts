import type { HeldPort, HoldPort } from './hold-port.ts';
import type { VolumeLayout } from './layout.ts';
import { renderGanesha } from './render-ganesha.ts';
import type { FileServerSettings } from './settings.ts';

/** What a place is made of. */
export interface PlaceOptions {
  readonly settings: FileServerSettings;
  /** The node's. */
  readonly address: string;
  readonly readOnly: boolean;
  readonly layout: VolumeLayout;
  readonly holdPort: HoldPort;
}

/** Where and how the volume is served on this node, by whichever process: the address, the socket, the configuration. */
export class ServerPlace {
  readonly #options: PlaceOptions;
  #held: HeldPort | undefined;

  constructor(options: PlaceOptions) {
    this.#options = options;
  }

  get address(): string {
    return this.#options.address;
  }

  /** The socket to serve on, bound once and kept; `undefined`: the server makes its own. */
  listenFd(): number | undefined {
    const { address, settings, holdPort } = this.#options;
    this.#held ??= holdPort(address, settings.port);
    return this.#held?.fd;
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
