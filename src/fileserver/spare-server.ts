import { toVolumeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { ReadyServer, ServerLauncher } from './ganesha-process.ts';
import type { ServerPlace } from './server-place.ts';

/** A server process and the addresses that its configuration lets mount. */
export interface StartedServer {
  readonly server: ReadyServer;
  readonly clients: readonly string[];
}

/** What a spare is made with. */
export interface SpareOptions {
  readonly launcher: ServerLauncher;
  readonly place: ServerPlace;
  readonly log: Log;
}

interface Spare {
  readonly clients: readonly string[];
  /** `undefined` when it could not be started. */
  readonly started: Promise<ReadyServer | undefined>;
  /** Absent until it is started. */
  server?: ReadyServer | undefined;
}

/**
 * One server process that waits for its turn, so that clients, who wait for it when its turn comes, need not wait for its
 * program to be read and set up as well. It has touched nothing of the volume, and costs some 9 MB.
 */
export class SpareServer {
  readonly #options: SpareOptions;
  #spare: Spare | undefined;

  constructor(options: SpareOptions) {
    this.#options = options;
  }

  /** Whether clients that connect are accepted already, by one that waits. */
  get accepts(): boolean {
    return this.#spare?.server?.accepts ?? false;
  }

  /** Has one wait that lets all of these mount, unless one does. Never fails: without, a start takes longer. */
  prepare(clients: readonly string[]): void {
    if (this.#spare && letsIn(this.#spare, clients)) return;
    this.discard();
    const { log } = this.#options;
    const started = this.#start(clients).catch((error) => {
      log.warn(`no server waits for its turn: ${toVolumeError(error).message}`);
      return undefined;
    });
    const spare: Spare = { clients, started };
    this.#spare = spare;
    void started.then(async (server) => {
      spare.server = server;
      await server?.process.exited;
      if (this.#spare !== spare) return;
      if (server) log.warn('the server that waited for its turn has ended');
      this.#spare = undefined;
    });
  }

  /**
   * The one that waits, if it lets all of these mount; it may let in more. Else a new one.
   * @throws VolumeError `unavailable` when none can be started.
   */
  async take(clients: readonly string[]): Promise<StartedServer> {
    const spare = this.#spare;
    this.#spare = undefined;
    const server = await spare?.started;
    if (spare && server && !server.process.ended && letsIn(spare, clients)) {
      return { server, clients: spare.clients };
    }
    server?.process.kill();
    return { server: await this.#start(clients), clients };
  }

  /** Ends the one that waits. */
  discard(): void {
    void this.#spare?.started.then((server) => server?.process.kill());
    this.#spare = undefined;
  }

  #start(clients: readonly string[]): Promise<ReadyServer> {
    const { launcher, place } = this.#options;
    return launcher.ready(place.config(clients), place.inherited());
  }
}

function letsIn(spare: Spare, clients: readonly string[]): boolean {
  return clients.every((address) => spare.clients.includes(address));
}
