import { type PlaceOptions, ServerPlace } from './server-place.ts';
import { type SpareOptions, SpareServer } from './spare-server.ts';

/** Where a server of the volume can serve, and the one that waits there for its turn. */
export interface Post {
  readonly place: ServerPlace;
  readonly spare: SpareServer;
}

/** What places and those that wait there are made with, whatever the address. */
export type ServerPostOptions = Omit<PlaceOptions, 'address' | 'readOnly'> & Omit<SpareOptions, 'place'>;

/** The one post that there is at a time: the node's address may change. */
export class ServerPost {
  readonly #options: ServerPostOptions;
  #post: Post | undefined;

  constructor(options: ServerPostOptions) {
    this.#options = options;
  }

  /** Whether clients may write at it. */
  get writable(): boolean {
    return this.#post?.place.readOnly === false;
  }

  /** The post at this address, where the port is held for it. */
  at(address: string, readOnly: boolean): Post {
    if (this.#post?.place.address === address) return this.#post;
    // The node has got another address since.
    this.leave();
    const { launcher, log } = this.#options;
    const place = new ServerPlace({ ...this.#options, address, readOnly });
    this.#post = { place, spare: new SpareServer({ launcher, place, log }) };
    return this.#post;
  }

  /** Ends the one that waits; the port stays held. */
  discardSpare(): void {
    this.#post?.spare.discard();
  }

  leave(): void {
    this.discardSpare();
    this.#post?.place.close();
    this.#post = undefined;
  }
}
