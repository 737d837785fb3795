/** Why a serving server stops serving. */
export type Ending =
  /** Somebody asked for it. */
  | { readonly kind: 'stop' }
  /** The process is gone or does not answer; the disk and the lease are good, so it starts again here. */
  | { readonly kind: 'crash'; readonly reason: string }
  /** A client that grace waits for has died since: start again without its record. Not the server's fault. */
  | { readonly kind: 'regrace'; readonly reason: string }
  /** The lease may have run out, and the claim with it; as long as the disk stays here, this task may claim the volume anew. */
  | { readonly kind: 'lost'; readonly reason: string }
  /** This task cannot go on serving. */
  | {
      readonly kind: 'fatal';
      readonly code: 'unavailable' | 'conflict' | 'timeout';
      readonly reason: string;
    };

/** The first reason to end wins; everybody who works for the server watches `signal`. */
export class EndOnce {
  readonly #controller = new AbortController();
  #ending: Ending | undefined;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get ending(): Ending | undefined {
    return this.#ending;
  }

  end(ending: Ending): void {
    if (this.#ending) return;
    this.#ending = ending;
    this.#controller.abort();
  }

  /** Resolves with the reason when there is one. */
  async ended(): Promise<Ending> {
    if (!this.#ending) {
      await new Promise<void>((resolve) => {
        this.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    return this.#ending ?? { kind: 'stop' };
  }
}
