/** A call that fails just before or after its cause, and clocks of hosts: so much is allowed for, ms. */
const marginMs = 2_000;

interface LostContact {
  readonly host: string;
  /** ms since 1970. */
  readonly from: number;
  to: number;
}

/**
 * When which host was cut off or stood still. A client there loses its locks after a lease, as it must, and its calls on
 * files that it had locked fail; nowhere else and at no other time may a call fail.
 */
export class LostContacts {
  readonly #all: LostContact[] = [];

  /** The host's contact is about to be taken away. @returns to be called when all is well again. */
  lost(host: string): () => void {
    const contact: LostContact = { host, from: Date.now(), to: Number.POSITIVE_INFINITY };
    this.#all.push(contact);
    return () => {
      contact.to = Date.now();
    };
  }

  /** Whether a call on this host may have failed at this time (ms since 1970). */
  mayFail(name: string, at: number): boolean {
    return this.#all.some(
      ({ host, from, to }) => host === name && at >= from - marginMs && at <= to + marginMs,
    );
  }
}
