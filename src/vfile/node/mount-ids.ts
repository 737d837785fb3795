/** Begins the mount IDs that stand for containers whose own IDs this plugin never saw. */
const standInPrefix = 'engine-';

interface Use {
  /** Mounts that this process has seen begin. */
  own: number;
  /**
   * Recorded by an earlier process: their Unmounts may have been missed. A container that is started again after its engine was
   * killed is mounted with the ID that it had.
   */
  inherited: number;
}

/** The mount IDs in use of one volume on this node, each with its count: `docker cp` mounts with an ID that is in use. */
export class MountIds {
  readonly #uses = new Map<string, Use>();

  /** @param inherited what an earlier process recorded */
  constructor(inherited: Readonly<Record<string, number>> = {}) {
    for (const [id, count] of Object.entries(inherited)) this.#uses.set(id, { own: 0, inherited: count });
  }

  get empty(): boolean {
    return this.#uses.size === 0;
  }

  /** IDs of which only an earlier process saw some use. */
  get inherited(): string[] {
    return [...this.#uses].flatMap(([id, use]) => (use.inherited > 0 ? [id] : []));
  }

  add(id: string): void {
    const use = this.#uses.get(id) ?? { own: 0, inherited: 0 };
    this.#uses.set(id, { ...use, own: use.own + 1 });
  }

  /** Counts a container that the engine runs although no ID is known for it. */
  addStandIn(containerId: string): void {
    this.#uses.set(`${standInPrefix}${containerId.slice(0, 12)}`, { own: 0, inherited: 1 });
  }

  /**
   * One use less: one that this process has seen begin, if there is any. An unknown ID takes a stand-in away.
   * @returns whether there was anything to take.
   */
  drop(id: string): boolean {
    const known = this.#uses.has(id)
      ? id
      : [...this.#uses.keys()].find((key) => key.startsWith(standInPrefix));
    const use = known === undefined ? undefined : this.#uses.get(known);
    if (known === undefined || !use) return false;
    if (use.own > 0) use.own -= 1;
    else use.inherited -= 1;
    if (use.own + use.inherited === 0) this.#uses.delete(known);
    return true;
  }

  /** Takes away what only an earlier process saw. */
  dropInherited(): void {
    for (const [id, use] of [...this.#uses]) {
      use.inherited = 0;
      if (use.own === 0) this.#uses.delete(id);
    }
  }

  /** For the mount record. */
  toRecord(): Record<string, number> {
    return Object.fromEntries([...this.#uses].map(([id, use]) => [id, use.own + use.inherited]));
  }
}
